"""sidechainnet's DSSP annotations: what is read, and what is refused with which words."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnstore.errors import SourceError
from attnstore.readers import sidechainnet
from attnstore.readers.inputs import Record
from attnstore.runtime.paths import cache_directory

CHAINS = st.lists(
    st.tuples(
        st.from_regex(r"[0-9][A-Z0-9]{3}_[0-9]{1,2}_[A-Za-z0-9]", fullmatch=True),
        st.lists(st.tuples(st.sampled_from("ACDEFGHIKLMNPQRSTVWYX"), st.sampled_from("GHIEBTSLPC -")), min_size=1),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda chain: (chain[0][:4], chain[0].split("_")[2]),
)  # fmt: skip
FOUR = dict.fromkeys("GHI", "helix") | dict.fromkeys("EB", "strand") | dict.fromkeys("ST", "turn")
THREE = dict.fromkeys("GHI", "helix") | dict.fromkeys("EB", "strand")


def write(folder: Path, content: str | bytes, name: str = "x.json") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes) -> list[Record]:
    return list(sidechainnet.read(write(folder, content)))


def entry(sequence: str, letters: str) -> dict[str, str]:
    return {"Sequence": sequence, "DSSP": letters}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    chains=CHAINS,
    indent=st.sampled_from([None, 0, "\t", 4]),
    swapped=st.booleans(),
    packed=st.booleans(),
    bom=st.booleans(),
    chunk=st.sampled_from([1, 7, 100, 1 << 20]),
)
def test_what_is_written_is_read(tmp_path, chains, indent, swapped, packed, bom, chunk):
    content = {}
    for identifier, residues in chains:
        fields = entry("".join(aa for aa, _ in residues), "".join(letter for _, letter in residues))
        content[identifier] = dict(reversed(fields.items())) if swapped else fields
    data = (("\ufeff" if bom else "") + json.dumps(content, indent=indent)).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sidechainnet, "_CHUNK_BYTES", max(chunk, 4))
        records = read(tmp_path, gzip.compress(data) if packed else data)
    assert [record.id for record in records] == [f"{name[:4]}_{name.split('_')[2]}" for name, _ in chains]
    for record, (_, residues) in zip(records, chains, strict=True):
        assert record.sequence == "".join(aa for aa, _ in residues)
        assert record.structure is None
        found = {annotation.property.name: annotation.values.to_pylist() for annotation in record.annotations}
        letters = [letter for _, letter in residues]
        assert found["ss8"] == [letter if letter in "GHIEBTSP" else "C" for letter in letters]
        assert found["ss4"] == [FOUR.get(letter, "other") for letter in letters]
        assert found["ss3"] == [THREE.get(letter, "coil") for letter in letters]


def test_the_dictionary_says_that_unresolved_residues_are_not_told_apart(tmp_path):
    (record,) = read(tmp_path, json.dumps({"1A2X_1_B": entry("AC", "LH")}))
    assert {annotation.property for annotation in record.annotations} == set(sidechainnet.PROPERTIES)
    assert all("unresolved" in prop.absent for prop in sidechainnet.PROPERTIES)


def test_memory_does_not_grow_with_the_file(tmp_path):
    content = json.dumps({f"{1000 + index}_1_A": entry("A" * 2000, "H" * 2000) for index in range(8000)})
    path = write(tmp_path, content)
    size = path.stat().st_size
    del content
    tracemalloc.start()
    try:
        assert sum(1 for _ in sidechainnet.read(path)) == 8000
        assert tracemalloc.get_traced_memory()[1] < size / 4
    finally:
        tracemalloc.stop()


GOOD = '"1A2X_1_B": {"Sequence": "AC", "DSSP": "HL"}'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("{}", "truncated or not JSON after entry 0"),
        ("{" + GOOD, "truncated or not JSON after entry 0"),
        ("{" + GOOD + ",", "truncated or not JSON after entry 1"),
        ("{" + GOOD + ",}", "truncated or not JSON after entry 1"),
        ("{" + GOOD + "}{}", "goes on after its JSON object of 1 chains"),
        ("{" + GOOD + ', "b": 3}', "after entry 1"),
        ("{" + GOOD + ', "b": {}}', "entry 2 is not an id with"),
        ("{" + GOOD + ', "b": {"Sequence": "AC"}}', "entry 2 is not an id with"),
        ("{" + GOOD + ', "b": {"Sequence": "AC", "DSSP": ["H", "H"]}}', "entry 2 is not an id with"),
        ("{" + GOOD + ', "b": {"Sequence": "AC", "DSSP": 12}}', "entry 2 is not an id with"),
        ("{" + GOOD + ', "b": {"Sequence": "AC" "DSSP": "HL"}}', "entry 2 is not an id with"),
        ("{" + GOOD + ', "b\\q": {"Sequence": "AC", "DSSP": "HL"}}', "entry 2 is not an id with"),
        ("{" + GOOD + ', "b": {"Sequence": ' + "[" * 100_000 + "}}", "entry 2 is not an id with"),
        ("{" + GOOD + ', "\\ud800": {"Sequence": "AC", "DSSP": "HL"}}', "entry 2 has an id that is no"),
        ("{" + GOOD + ', " ": {"Sequence": "AC", "DSSP": "HL"}}', "entry 2 has an id that is no"),
        ("{" + GOOD + ', "b": {"Sequence": "", "DSSP": ""}}', "entry 2: chain b has no sequence"),
        ("{" + GOOD + ', "b": {"Sequence": "A1", "DSSP": "HL"}}', "entry 2: chain b has no sequence"),
        ("{" + GOOD + ', "b": {"Sequence": "AC", "DSSP": "H"}}', "entry 2: chain b has 1 letters of DSSP for 2"),
        ("{" + GOOD + ', "b": {"Sequence": "AC", "DSSP": "H?"}}', "entry 2 has '\\?' for a secondary structure"),
        ("{" + GOOD + ', "b": {"Sequence": "AC", "DSSP": "H\\u0000"}}', "entry 2 has '.x00' for a secondary structure"),
        (b'{"b\xff": {"Sequence": "AC", "DSSP": "HL"}}', "entry 1 is not an id with"),
        ('{"b": {"Sequence": "' + "A" * (20 << 20), "truncated or not JSON after entry 0"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_its_place(tmp_path, content, words):
    with pytest.raises(SourceError, match=words) as caught:
        read(tmp_path, content)
    assert str(tmp_path / "x.json") in str(caught.value)


@pytest.mark.parametrize("seed", range(200))
def test_damage_raises_or_goes_unnoticed(tmp_path, seed):
    chance = random.Random(seed)
    damaged = bytearray(
        json.dumps({f"1A2X_{index}_B": entry("ACDEF", "HLSTE") for index in range(4)}, indent=1).encode()
    )
    for _ in range(chance.randrange(1, 5)):
        damaged[chance.randrange(len(damaged))] = chance.choice(b'{}":,\\[ \xff\0Hx')
    try:
        read(tmp_path, bytes(damaged[: chance.randrange(len(damaged)) if seed % 4 == 0 else None]))
    except SourceError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017 - it need not raise


@pytest.mark.parametrize(
    ("name", "head", "accepted"),
    [
        ("full_protein_dssp_annotations.json", b'{\n\t"200L_1_A":{\n\t\t"Sequence":"MN', True),
        ("x.json.gz", b'\xef\xbb\xbf{"200L_1_A": {"DSSP": "', True),
        ("x.txt", b'{"200L_1_A": {"DSSP": "', False),
        ("x.json", b'{"200L_1_A": {"sequence": "', False),
        ("x.json", b'[{"Sequence": "', False),
        ("x.json", b"", False),
    ],
)
def test_accepts_by_suffix_and_content(name, head, accepted):
    assert sidechainnet.accepts(Path(name), head) is accepted


FULL = next(cache_directory().glob("sidechainnet-*/full_protein_dssp_annotations.json"), None)


@pytest.mark.skipif(FULL is None, reason="sidechainnet's annotations are not here")
def test_the_whole_file():
    assert FULL is not None
    expected: Counter[str] = Counter()
    for fields in json.loads(FULL.read_bytes()).values():
        expected.update(fields["DSSP"].replace("L", "C"))
    found: Counter[str] = Counter()
    count = 0
    for record in sidechainnet.read(FULL):
        count += 1
        for pair in record.annotations[0].values.value_counts().to_pylist():
            found[pair["values"]] += pair["counts"]
    assert count == 159_026
    assert found == expected
