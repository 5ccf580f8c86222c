"""Whether a store holds what a run asks for."""

from bandwise.config import SplitConfig, to_dict
from bandwise.config.branches import parse_bands
from bandwise.config.configfile import differences
from bandwise.errors import IncompatibleError
from bandwise.store.reading.store import Store


def require_same_split(store: Store, wanted: SplitConfig) -> None:
    """Check that a store was made by the split of a run; it may hold more bands than the run needs.

    Raises:
        IncompatibleError: a field differs or a band is missing; the message lists them.
    """
    have, want = to_dict(store.config), to_dict(wanted)
    bands_wanted = set(parse_bands(want.pop("bands"), wanted.stride**2))
    have.pop("bands")
    changed = differences(have, want)
    if changed:
        raise IncompatibleError(
            f"the store {store.path} was made by another split:\n  " + "\n  ".join(changed) + "\nsplit again elsewhere"
        )
    missing = sorted(bands_wanted - set(store.bands))
    if missing:
        raise IncompatibleError(
            f"the store {store.path} lacks the bands {missing}; add them with `bandwise split --bands`, same folder"
        )
