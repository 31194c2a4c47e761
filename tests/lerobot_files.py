"""The datasets that LeRobot's own writers made, and what tests change in copies of them."""

import json
import pathlib
import shutil

import av
import pyarrow as pa
import pyarrow.parquet as pq

REAL = pathlib.Path(__file__).parent / "lerobot_v3"
DATA, EPISODES = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"
TOP = "videos/observation.images.top/chunk-000/file-000.mp4"
OLD = pathlib.Path(__file__).parent / "lerobot_v21"
FIRST = "data/chunk-000/episode_000000.parquet"
FIRST_TOP = "videos/chunk-000/observation.images.top/episode_000000.mp4"


def dataset(folder, version="v3.0"):
    """A copy of what LeRobot wrote in a format."""
    shutil.copytree(REAL if version == "v3.0" else OLD, folder)
    if version == "v2.0":  # has statistics of the dataset in place of each episode's
        change_info(folder, codebase_version=version)
        stats = folder / "meta/episodes_stats.jsonl"
        first = json.loads(stats.read_text().splitlines()[0])
        (folder / "meta/stats.json").write_text(json.dumps(first["stats"]))
        stats.unlink()
    return folder


def change_info(folder, **changes):
    path = folder / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_column(path, name, change):
    """Replaces a column of a file by what `change` makes of its rows."""
    table = pq.read_table(path)
    values = table.column(name).to_pylist()
    change(values)
    at = table.column_names.index(name)
    pq.write_table(table.set_column(at, name, pa.array(values, table.schema.field(at).type)), path)


def assign(index, value):
    return lambda rows: rows.__setitem__(index, value)


def add_frame_column(folder, name, kind, value):
    """A new column of the frames, made from the number of the episode and that of the frame."""
    for path in folder.glob("data/*/*.parquet"):
        table = pq.read_table(path)
        numbers = (table.column(n).to_pylist() for n in ("episode_index", "frame_index"))
        values = [value(*pair) for pair in zip(*numbers, strict=True)]
        pq.write_table(table.append_column(name, pa.array(values)), path)
    features = json.loads((folder / "meta/info.json").read_text())["features"]
    change_info(folder, features=features | {name: {"dtype": kind, "shape": [1]}})


def add_episode_column(folder, name, values):
    """A new column of the table of episodes."""
    lines = folder / "meta/episodes.jsonl"
    if lines.exists():
        rows = [json.loads(line) for line in lines.read_text().splitlines()]
        rows = [row | {name: value} for row, value in zip(rows, values, strict=True)]
        lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        table = pq.read_table(folder / EPISODES)
        pq.write_table(table.append_column(name, pa.array(values)), folder / EPISODES)


def as_h264(path, leave_out=0):
    """Encodes a video again, without so many of its last frames; only the first needs no other."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    options = {"crf": "14", "bf": "3", "g": "250"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for number, frame in enumerate(frames[: len(frames) - leave_out]):
            made = av.VideoFrame.from_ndarray(frame, format="rgb24")
            made.pts = number
            container.mux(stream.encode(made))
        container.mux(stream.encode())
