"""What a shell completes: commands, their options, recipes."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bandwise.cli import VERBS, main
from bandwise.commands.completion import options_of


@pytest.fixture(scope="module")
def scripts(tmp_path_factory) -> dict[str, str]:
    """The path of the script of each shell."""
    folder, found = tmp_path_factory.mktemp("completion"), {}
    with pytest.MonkeyPatch.context() as patch:
        # Each command is asked for its options once, which imports all there is.
        known = {verb: options_of(verb) for verb in VERBS}
        patch.setattr("bandwise.commands.completion.options_of", known.__getitem__)
        for shell in ("bash", "zsh", "fish"):
            with pytest.MonkeyPatch.context() as printed:
                lines: list[str] = []
                printed.setattr("bandwise.cli.show", lambda text, stream, lines=lines: lines.append(text))
                assert main(["completion", shell]) == 0
            (folder / shell).write_text("\n".join(lines) + "\n")
            found[shell] = str(folder / shell)
    return found


def test_bash_completes_what_is_typed(scripts):
    def completed(*words: str) -> set[str]:
        typed = " ".join(f"'{word}'" for word in ("bandwise", *words))
        lines = f"source {scripts['bash']}; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _bandwise"
        done = subprocess.run(
            ["bash", "-c", f'{lines}; printf "%s\\n" "${{COMPREPLY[@]}}"'], capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        return set(done.stdout.split())

    assert completed("re") == {"recipes", "reconstruct", "reproduce", "report"}
    assert completed("run", "photos-sub4", "--stop") == {"--stop-after"}
    assert {"--initial-checkpoint", "--pretrained"} <= completed("train", "--")
    assert completed("predict", "--pre") == set()
    assert "photos-sub4" in completed("run", "photos")
    assert completed("completion", "z") == {"zsh"}
    # Anything else is a file, which bash completes itself where a command has nothing.
    assert completed("predict", "ru") == set()


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("bandwise ver", "verify"),
        ("bandwise run photos-sub16", "photos-sub16"),
        ("bandwise train --stop", "--stop-after"),
        ("bandwise completion z", "zsh"),
    ],
)
def test_fish_completes_what_is_typed(scripts, typed, expected):
    lines = f"source {scripts['fish']}; complete -C '{typed}'"
    done = subprocess.run(["fish", "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_have_the_same_words(scripts, shell):
    text = Path(scripts[shell]).read_text()
    assert set(VERBS) <= set(text.split()) | set(text.replace("'", " ").replace(";", " ").split())
    assert "--stop-after" in text
    assert "photos-sub4" in text
    if shutil.which(shell):
        subprocess.run([shell, "-n", scripts[shell]], check=True)


def test_options_are_all_there(capsys):
    assert main(["predict", "--help-all"]) == 0
    shown = capsys.readouterr().out
    found = options_of("predict")
    assert all(option in shown for option in found if option not in ("--help-all", "--quiet"))
    assert {"--help", "--csv", "--table", "--top", "--votes", "--quiet"} <= set(found)
    assert len(found) == len(set(found))
