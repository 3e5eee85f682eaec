"""Mutations of inputs by a seeded generator: what a slip of the hand, a script gone wrong or a bad disk may leave."""

import json

import numpy as np

_VALUES = (
    "1", "-1", "0", "1.5", "-0.0", "nan", "inf", "-inf", "1e400", "9" * 25, "1" + "0" * 310, "9" * 5000,
    "0x" + "f" * 400, "true", '""', '"x"', '"nvt-rescale"', '"\\u0000"', '"~nosuchuser/x"', '"/"', '"."', '".."',
    '"\\u001b[2J"', "[]", "[1]", "[[1]]", '["a", 1]', "[1, 2, 3]", "{}", "{a = 1}", "{a = {b = {c = 1}}}",
    "{H = 2.014}", "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "[" * 30 + "]" * 30, "[" * 3000 + "]" * 3000,
    "[" + "1," * 3000 + "]", "'" + "x" * 3000 + "'", "'''a\nb'''", '"""', "'", "[1,", "{a = 1", "\\", "=", "", "#",
)  # fmt: skip
_LINES = (
    "[a.b]", "[a]", "[[a]]", "[]", "[a", "a]", "[dynamics]", "[dynamics.steps]", "[dynamics.steps.x]", "[[dynamics]]",
    "[data.weights]", "[data.weights.a]", "[structure.masses]", '["dynamics"]', '["dynamics.steps"]', "[fit.x.y.z]",
    "dynamics.steps = 1", '"dynamics" = 1', 'dynamics."steps" = 2', '"dynamics.steps" = 3', "dynamics = 1",
    "steps.x = 1", '"" = 1', "''.'' = 1", "steps = 1", "masses.H = 1", "weights.a.energy = 1", '"a.b" = 1',
    ".".join("a" * 500) + " = 1", "[" + ".".join("b" * 500) + "]", "= 1", "a b = 1", "\ufeff", "\x00", "\x1b]0;x\x07",
)  # fmt: skip


def mutated_toml(text: str, rng: np.random.Generator) -> str:
    """A TOML input with one to three changes."""
    rows = text.split("\n")
    for _ in range(int(rng.integers(1, 4))):
        k = int(rng.integers(len(rows)))
        change = int(rng.integers(8))
        if change == 0:
            rows.insert(k, str(rng.choice(_LINES)))
        elif change == 1:
            rows[k] = rows[k].partition("=")[0] + "= " + str(rng.choice(_VALUES))
        elif change == 2:
            del rows[k]
        elif change == 3:
            rows.insert(k, rows[int(rng.integers(len(rows)))])
        elif change == 4 and rows[k]:
            at = int(rng.integers(len(rows[k])))
            rows[k] = rows[k][:at] + str(rng.choice(list("[]{}\"'=.,#\\\n\t 0a-é\x07"))) + rows[k][at + 1 :]
        elif change == 5 and rows[k]:
            at = int(rng.integers(len(rows[k])))
            rows[k] = rows[k][:at] + rows[k][at + 1 :]
        elif change == 6:
            name, equals, value = rows[k].partition("=")
            deeper = rng.choice(["x", "steps", '"a.b"', "''"])
            rows[k] = f"{name.strip()}.{deeper} {equals}{value}"
        else:
            rows = rows[: k + 1]
        rows = rows or [""]
    return "\n".join(rows)


def mutated_checkpoint(meta: dict, arrays: dict[str, np.ndarray], rng: np.random.Generator) -> tuple[dict, dict]:
    """Contents of a checkpoint with one to three changes, which no checksum shows: some program wrote it so."""
    meta, arrays = json.loads(json.dumps(meta)), dict(arrays)
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.5:
            _mutate_tree(meta, rng)
            continue
        name = str(rng.choice(sorted(arrays))) if arrays else "new"
        have = arrays.get(name, np.zeros(3))
        change = int(rng.integers(8))
        if change == 0:
            arrays.pop(name, None)
        elif change == 1:
            arrays[name] = have[: len(have) // 2]
        elif change == 2:
            arrays[name] = have.reshape(-1)
        elif change == 3:
            with np.errstate(all="ignore"):
                arrays[name] = have.astype([np.float32, np.int64, bool][int(rng.integers(3))])
        elif change == 4 and have.size:
            changed = have.astype(float)
            changed.flat[int(rng.integers(have.size))] = rng.choice([np.nan, np.inf, 1e300, -1e300, 0.0])
            arrays[name] = changed
        elif change == 5:
            arrays[name] = np.zeros_like(have)
        elif change == 6:
            arrays[name] = np.concatenate([have, have])
        else:
            arrays[name] = have[None]
    return meta, arrays


def _mutate_tree(tree, rng: np.random.Generator) -> None:
    """Change a value somewhere in a tree of dicts and lists."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    if not keys:
        return
    key = keys[int(rng.integers(len(keys)))]
    if isinstance(tree[key], dict | list) and tree[key] and rng.random() < 0.7:
        _mutate_tree(tree[key], rng)
    elif rng.random() < 0.2:
        del tree[key]
    else:
        values = (
            None,
            True,
            -1,
            0,
            1,
            7,
            2**70,
            1e300,
            float("nan"),
            float("inf"),
            "",
            "x",
            "../x",
            [],
            [1],
            {},
            {"a": 1},
        )
        tree[key] = values[int(rng.integers(len(values)))]
