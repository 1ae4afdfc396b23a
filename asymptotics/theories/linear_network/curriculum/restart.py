"""The state of a flow as the start of another one, with another target; equation (2).

Equations are numbered as in docs/theories/linear_network_curriculum.md.
"""

from __future__ import annotations

import math

import numpy as np

from ..constants import Constants, cell_constants
from ..exact import ABSENT, Array, scaled
from ..grid import TARGET, Block
from ..invariants import Invariants
from ..observables import Writer, units_of
from ..trajectory import State, evaluate

EARLIER = "residual"  # of the flows before


def first(block: Block, target: float) -> Block:
    """The flow from the initial weights."""
    return _with(block, target, np.zeros(1))


def continued(block: Block, duration: float, target: float, state: State, writer: Writer) -> Block:
    """The flow to another target from where this one is after some time.

    bP z and bQ/z are the new bP and bQ; kap, the area and the imbalance are conserved.
    """
    c, parameters = block.constants, block.parameters
    shape = (1, c.bP.size)
    state.reshape(shape)
    own = c.part(None)
    evaluate(own, np.full((1, 1), duration), state)
    norms = {name: np.empty(shape) for name in ("norm_u", "norm_w")}
    writer.write(own, block.units.part(None), np.full((1, 1), duration), state, norms)
    found = _invariants(block, state)
    _, loss_factor, m2 = (parameters[name] for name in TARGET)
    changed = np.full(1, target)
    constants = cell_constants(found, changed, loss_factor, m2, cells=shape[1])
    # the gap keeps the digits that F does not have if the target stays
    gap = np.where(constants.in_range, np.where(target == c.A, state.r[0], constants.r0), 0.0)
    constants = _starting_from(constants, gap)
    units = units_of(constants, found, block.layers, parameters)
    units = units._replace(norm_u0=norms["norm_u"][0], norm_w0=norms["norm_w"][0])
    earlier = np.maximum(parameters[EARLIER], state.residual[0])
    return _with(Block(constants, units, parameters, found, block.layers), target, earlier)


def _with(block: Block, target: float, earlier: Array) -> Block:
    given = {"target_coefficient": np.full(1, target), EARLIER: earlier}
    return block._replace(parameters={**block.parameters, **given})


def _invariants(block: Block, state: State) -> Invariants:
    """sqrt(bP z) and sqrt(bQ/z), also where all weights are about to underflow."""
    c, before = block.constants, block.invariants
    shape = c.bP.shape
    p, q, exponent = np.sqrt(state.up[0]), np.sqrt(state.down[0]), c.half_exponent
    if state.vanishing is not None:
        where = state.vanishing.where[1]
        log_factor = state.vanishing.log_factor
        steps = np.maximum(np.floor(log_factor / math.log(2)), ABSENT // 2)
        factor = np.exp(np.maximum(log_factor - steps * math.log(2), -1.0))
        exponent = exponent.copy()
        p[where], q[where] = np.sqrt(c.bP[where]) * factor, np.sqrt(c.bQ[where]) * factor
        exponent[where] += steps.astype(np.int64)
    imbalance = scaled(np.broadcast_to(before.imbalance, shape), 2 * (before.exponent - exponent))
    return before._replace(
        p_norm=p, q_norm=q, exponent=exponent, imbalance=imbalance, F0=state.F[0].copy(),
        possible=before.possible & c.in_range,
    )


def _starting_from(c: Constants, gap: Array) -> Constants:
    root = np.ldexp(1.0, np.frexp(gap)[1] // 2)
    return c._replace(r0=gap, r0_mantissa=gap / root / root, r0_root=root)
