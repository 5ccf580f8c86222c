import os
from dataclasses import replace

import numpy as np
import pytest
import scipy.special
import torch
from PIL import Image

from bandwise.runs.logits import read_logits
from bandwise.runs.run import open_run
from bandwise.serving import predict
from bandwise.serving.predict import predict_paths
from bandwise.sources.decoding.decode import load_canvas
from bandwise.sources.folder import open_folder


@pytest.fixture
def pictures(finished):
    return finished.parent / "pictures" / "val"


@pytest.fixture
def junk(tmp_path, pictures):
    """A folder with everything that users have in their folders."""
    folder = tmp_path / "junk"
    (folder / "deep" / "deeper").mkdir(parents=True)
    good = (pictures / "class-0" / "000.png").read_bytes()
    (folder / "a.png").write_bytes(good)
    (folder / "wrong-name.jpg").write_bytes(good)
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "drawing.svg").write_bytes(b"<svg></svg>")
    (folder / "notes.txt").write_bytes(b"hello")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "deep" / "deeper" / "z.png").write_bytes(good)
    Image.new("RGB", (2, 2)).save(folder / "tiny.png")
    Image.new("RGB", (30, 30)).save(folder / "=cmd.png")
    with open(os.fsencode(folder) + b"/caf\xe9.png", "wb") as stream:
        stream.write(good)
    (folder / "gone.png").symlink_to(folder / "nowhere")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    return folder


def test_one_row_for_every_file_of_a_folder_of_junk(ensemble, junk):
    rows = list(predict_paths(ensemble, [junk], batch_size=3))
    found = {os.fsencode(row.path).removeprefix(os.fsencode(junk) + b"/"): (row.status, row.reason) for row in rows}
    assert found == {
        b"=cmd.png": ("ok", ""),
        b"a.png": ("ok", ""),
        b"caf\xe9.png": ("ok", ""),
        b"cut.png": ("error", "truncated"),
        b"deep/deeper/z.png": ("ok", ""),
        b"drawing.svg": ("error", "unidentified"),
        b"empty.jpg": ("error", "unidentified"),
        b"gone.png": ("error", "missing"),
        b"loop": ("skipped", "link to a folder"),
        b"notes.txt": ("skipped", "no picture by name"),
        b"pipe.png": ("error", "not a file"),
        b"tiny.png": ("error", "too small"),
        b"wrong-name.jpg": ("ok", ""),
    }
    assert [os.fsencode(row.path) for row in rows] == sorted(os.fsencode(row.path) for row in rows)
    assert all((row.status == "ok") == bool(row.classes) == (not row.reason) for row in rows)
    note = next(row.notes for row in rows if row.path.endswith("wrong-name.jpg"))
    assert note == ("the extension names another format",)
    # Rows of bad inputs between good ones do not shift the classes by one.
    same = [row.classes for row in rows if row.path.endswith(("/a.png", "wrong-name.jpg", "z.png"))]
    other = next(row.classes for row in rows if row.path.endswith("=cmd.png"))
    for classes in same:
        assert [score.name for score in classes] == [score.name for score in same[0]]
        assert [score.probability for score in classes] == pytest.approx([s.probability for s in same[0]], abs=1e-5)
    assert other[0].probability != pytest.approx(same[0][0].probability, abs=1e-4)


def test_predictions_are_those_of_the_evaluation(finished, ensemble, pictures):
    """Decoded from the files, or read from the store: the same probability of the true class, picture by picture."""
    run = open_run(finished)
    stored = [read_logits(run.logits_path("val", branch)) for branch in ensemble.fusion.branches]
    fused = ensemble.fusion.apply([each.logits for each in stored])
    expected = scipy.special.softmax(fused, axis=1)[np.arange(12), stored[0].labels]
    rows = list(predict_paths(ensemble, [pictures]))
    found = [next(score.probability for score in row.classes if f"/{score.name}/" in row.path) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert [row.classes[0].name for row in rows] == [ensemble.classes[best] for best in fused.argmax(axis=1)]


@pytest.mark.parametrize(
    "changes", [{}, {"background": 7}, {"exif": "transpose"}, {"background": 200, "exif": "transpose"}]
)
def test_pixels_are_those_that_training_saw(ensemble, tmp_path, monkeypatch, changes):
    """A transparent and a turned picture: what becomes of them is part of the configuration of the split."""
    folder = tmp_path / "train" / "cat"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise[:, :, :3]).save(folder / "b.jpg", exif=exif)
    config = replace(ensemble.split_config, **changes)
    seen = []

    def remember(images):
        seen.append(images)
        return torch.zeros(len(images), 3)

    monkeypatch.setattr(ensemble, "forward", remember)
    monkeypatch.setattr(ensemble, "split_config", config)
    rows = list(predict_paths(ensemble, [folder]))
    source = open_folder(tmp_path)
    expected = [load_canvas(source, f"train/cat/{name}".encode(), config) for name in ("a.png", "b.jpg")]
    assert np.array_equal(seen[0].permute(0, 2, 3, 1).numpy(), [pixels for pixels, _ in expected])
    assert [row.notes for row in rows] == [notes for _, notes in expected]


def test_a_picture_over_the_limit_of_the_split_is_refused(ensemble, pictures, monkeypatch):
    monkeypatch.setattr(ensemble, "split_config", replace(ensemble.split_config, max_pixels=37 * 37 - 1))
    assert {row.reason for row in predict_paths(ensemble, [pictures])} == {"too large"}
    monkeypatch.setattr(ensemble, "split_config", replace(ensemble.split_config, max_pixels=37 * 37))
    assert {row.reason for row in predict_paths(ensemble, [pictures])} == {""}


def test_a_named_file_is_classified_whatever_it_is_called(ensemble, pictures, tmp_path):
    plain = tmp_path / "photograph"
    plain.write_bytes((pictures / "class-1" / "000.png").read_bytes())
    notes = tmp_path / "notes.txt"
    notes.write_bytes(b"hello")
    rows = list(predict_paths(ensemble, [plain, notes, tmp_path / "nothing.jpg", "nul\0byte"]))
    assert [(row.status, row.reason) for row in rows] == [
        ("ok", ""),
        ("error", "unidentified"),
        ("error", "missing"),
        ("error", "unreadable"),
    ]


def test_a_file_that_goes_away_meanwhile_is_an_error_of_that_file(ensemble, pictures, tmp_path):
    names = [tmp_path / f"{index}.png" for index in range(3)]
    for name in names:
        name.write_bytes((pictures / "class-1" / "000.png").read_bytes())
    rows = predict_paths(ensemble, names, batch_size=1)
    first = next(rows)
    names[1].unlink()
    names[2].unlink()
    os.mkfifo(names[2])
    assert [first.status, *(row.status for row in rows)] == ["ok", "error", "error"]


def test_a_failing_disk_is_not_a_bad_picture(ensemble, pictures, monkeypatch):
    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(predict, "read_file", fail)
    with pytest.raises(OSError, match="Input/output error"):
        list(predict_paths(ensemble, [pictures]))


def test_every_branch_votes_as_it_answers_alone(ensemble, pictures):
    rows = list(predict_paths(ensemble, [pictures], votes=True))
    assert [replace(row, votes=None) for row in rows] == list(predict_paths(ensemble, [pictures]))
    for row in rows[::5]:
        source, name = open_folder(pictures.parent), f"val/{'/'.join(row.path.split('/')[-2:])}"
        pixels, _ = load_canvas(source, name.encode(), ensemble.split_config)
        canvas = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        alone = scipy.special.softmax(ensemble.branch_logits(canvas)[:, 0].double().numpy(), axis=1)
        assert [vote.branch for vote in row.votes] == [0, 1, 2]
        assert [vote.name for vote in row.votes] == [ensemble.classes[index] for index in alone.argmax(1)]
        np.testing.assert_allclose([vote.probability for vote in row.votes], alone.max(1), rtol=1e-5)
