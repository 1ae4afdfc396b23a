"""netCDF-3 files that are written piece by piece are those that xarray and scipy write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from xarray.core import indexing

from asymptotics.netcdf import Stored, netcdf, write_dataset


class OnDisk(xr.backends.BackendArray):
    """An array that is read when it is asked for."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC,
                                                  self.array.__getitem__)


def lazy(dataset: xr.Dataset, name: str) -> xr.Dataset:
    variable = dataset[name]
    data = indexing.LazilyIndexedArray(OnDisk(variable.values))
    return dataset.assign({name: xr.Variable(variable.dims, data, variable.attrs)})


@pytest.mark.parametrize("name", ["a", "ok", "code", "count"])
def test_datasets_that_are_not_in_memory_are_written_alike(name: str, tmp_path: Path) -> None:
    values = np.array([[0.1, np.nan, np.inf], [-np.inf, -0.0, 5e-324]])
    dataset = xr.Dataset(
        {"a": (("x", "y"), values, {"long_name": "λ", "symbol": "", "boundaries": "one two"}),
         "ok": (("x",), np.array([True, False])), "count": (("y",), np.arange(3)),
         "code": (("y",), np.array([-1, 0, 1], dtype=np.int8), {"flag_values": np.arange(2, dtype=np.int8)}),
         "scalar": ((), 2.5)},
        coords={"x": [0.5, 1.5], "y": ["tanh", "x + λ", "relu"], "best": (("x", "y"), values + 1), "fixed": 3.0},
        attrs={"theory": "toy", "number": 7, "study": "{\"a\": \"é\"}"},
    )
    dataset.to_netcdf(tmp_path / "theirs.nc", engine="scipy")
    write_dataset(tmp_path / "ours.nc", lazy(dataset, name))
    for decode_cf in (True, False):
        with xr.open_dataset(tmp_path / "ours.nc", engine="scipy", decode_cf=decode_cf) as ours, \
                xr.open_dataset(tmp_path / "theirs.nc", engine="scipy", decode_cf=decode_cf) as theirs:
            xr.testing.assert_identical(ours.load(), theirs.load())


def test_a_variable_of_another_size_is_an_error() -> None:
    wrong = Stored(("x",), np.dtype("f8"), {}, lambda: np.zeros(3))
    with pytest.raises(ValueError, match="a has 24 bytes, not 16"):
        list(netcdf({"x": 2}, {}, {"a": wrong}))
