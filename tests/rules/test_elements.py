"""Elements by private tag and by the path into sequences, in datasets built in code."""

import pytest
from pydicom.dataset import Dataset

from rules.elements import parse_element

SIEMENS = "SIEMENS MR HEADER"


@pytest.fixture
def instance():
    request = Dataset()
    request.RequestedProcedureDescription = "MR brain"
    code = Dataset()
    code.CodeValue = "T1"
    request.RequestedProcedureCodeSequence = [code]
    dataset = Dataset()
    dataset.Modality = "MR"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.RequestAttributesSequence = [request]
    dataset.add_new(0x00190010, "LO", "ANOTHER CREATOR")
    dataset.add_new(0x0019100C, "IS", "5")
    block = dataset.private_block(0x19, SIEMENS, create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x0D, "UN", b"BVAL ")
    block.add_new(0x0E, "UN", b"\x00\x01\xff\xfe")
    return dataset


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Modality", ("MR",)),
        ("ImageType", ("ORIGINAL", "PRIMARY")),
        ("RequestAttributesSequence.0.RequestedProcedureDescription", ("MR brain",)),
        (
            "RequestAttributesSequence.0.RequestedProcedureCodeSequence.0.CodeValue",
            ("T1",),
        ),
        ("RequestAttributesSequence.1.RequestedProcedureDescription", ()),
        ("ProcedureCodeSequence.0.CodeValue", ()),
        (f"(0019,{SIEMENS},0C)", (1000.0,)),
        (f'(0019,"{SIEMENS}",0c)', (1000.0,)),
        ("(0019,ANOTHER CREATOR,0C)", (5.0,)),
        ("(0019,NOBODY,0C)", ()),
        (f"(0019,{SIEMENS},0D)", ("BVAL",)),
        (f"(0019,{SIEMENS},0E)", ()),
        (f"(0019,{SIEMENS},FF)", ()),
    ],
)
def test_an_element_is_found_by_its_name(instance, name, values):
    assert parse_element(name).values(instance) == values


def test_a_creator_may_hold_dots_and_an_item_private_elements():
    item = Dataset()
    item.private_block(0x21, "A.B 1.0", create=True).add_new(0x01, "LO", "deep")
    dataset = Dataset()
    dataset.PerFrameFunctionalGroupsSequence = [item]
    path = parse_element("PerFrameFunctionalGroupsSequence.0.(0021,A.B 1.0,01)")
    assert path.values(dataset) == ("deep",)


def test_a_damaged_element_counts_as_absent():
    dataset = Dataset()
    dataset.RequestAttributesSequence = []
    dataset["RequestAttributesSequence"]._value = None
    path = parse_element("RequestAttributesSequence.0.RequestedProcedureDescription")
    assert path.values(dataset) == ()
