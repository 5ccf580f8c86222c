"""Flags that several verbs have, with what --help says of them."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

Json = Annotated[bool, arg(help="Print one JSON object.")]
RunFolder = Annotated[Path, Positional, arg(help="Run folder.")]
Model = Annotated[Path, Positional, arg(help="Run folder, folder of a released model, or hf:OWNER/NAME[@REVISION].")]
ConfigFile = Annotated[Path | None, arg(help="YAML or JSON file, merged over the recipe.")]
AllowEmptyClass = Annotated[bool, arg(help="Accept a class folder without images.")]
SourceNow = Annotated[str | None, arg(help="Where the source is now; where the run found it when left out.")]

_RECIPE_SET = "Train by a published recipe in place of the row's own: seed, rsb-a1, rsb-a2, rsb-a3 or torchvision."
RecipeSet = Annotated[str, arg(help=_RECIPE_SET)]
_STORE = "Store to share with other runs of the same split; OUT/store when left out."
SharedStore = Annotated[Path | None, arg(help=_STORE)]
_STORE_NOW = (
    "Where the store is now, should it have moved: a folder, or an address such as s3://bucket/store. Its digest must "
    "be the one that the branches were trained on."
)
StoreNow = Annotated[str | None, arg(help=_STORE_NOW)]

_DEVICES = (
    "Accelerators to use, all or such as 0,1 as torch numbers them; every branch sees one of them. All when left out."
)
Devices = Annotated[str | None, arg(help=_DEVICES)]
PerDevice = Annotated[int | None, arg(help="Branches trained at once on every accelerator; 1 when left out.")]
_DEVICE = "Where networks run: cpu, cuda, or auto for CUDA where there is one; that of the training when left out."
Device = Annotated[Literal["auto", "cpu", "cuda"] | None, arg(help=_DEVICE)]
_BATCH = "Images at a time for predictions that are not there yet; that of the training when left out."
BatchSize = Annotated[int | None, arg(help=_BATCH)]
