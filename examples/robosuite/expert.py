"""Scripted experts: a smooth path of the hand, and the joint targets that follow it.

The joints are a function of the hand's pose, because the redundancy of 7 joints is resolved by one
posture. Before a grasp and before a release the hand begins to lower up to 2 cm beside the place
and corrects this on the way down, so that a policy learns to correct.
"""

from typing import NamedTuple

import mink
import numpy as np
from environment import CONTROL_HZ, TASKS, Environment
from scipy.spatial.transform import Rotation, Slerp

OPEN, CLOSE = -1.0, 1.0
# Pointing down, the fingers opening along the world's y axis: robosuite's start of both robots.
DOWN = Rotation.from_matrix([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
TABLE = 0.8  # m, its height
BESIDE = 0.02  # m
FINGERS = (0.075, 0.02)  # m, half of what the open fingers need along and across their opening
_POSTURE_COST = 0.01  # relative to the pose's: decides in its null space and nowhere else
_IK_STEPS = 8  # per control step, each beginning at the control step before


class Move(NamedTuple):
    """A straight move of the hand.

    Attributes:
      position: (3,) m and yaw: rad, where it ends. steps: control steps.
      gripper: command meanwhile. bow: sideways detour in the middle, m.
    """

    position: np.ndarray
    yaw: float
    steps: int
    gripper: float
    bow: float = 0.0


def plan(environment: Environment, seed: int) -> np.ndarray:
    """Actions (T, 8) that solve the task from the start in which the world is.

    `seed`: of what the expert varies: speeds, heights, detours and where it grasps.
    """
    rng = np.random.default_rng([seed, 1])
    cubes = [environment.cube(name) for name in TASKS[environment.task].cubes]
    for centre, _, half in cubes:
        centre[2] = TABLE + half  # robosuite drops them from 1 cm
    hand = environment.data.site(environment.hand_site)
    start = hand.xpos.copy(), Rotation.from_matrix(hand.xmat.reshape(3, 3))
    centre, rotation, _ = cubes[0]
    yaw = _grasp_yaw(rotation, centre, [other for other, _, _ in cubes[1:]])
    moves = _take(rng, start[0], centre, yaw)
    moves += _lift(rng, moves[-1])
    if environment.task == "Stack":
        (base, _, half), above = cubes[1], cubes[0][2]
        offset = moves[1].position - centre  # of the hand from the cube that it holds
        moves += _put(rng, moves[-1], base + offset + [0.0, 0.0, half + above])
    positions, rotations, gripper = _path(start, moves)
    return np.column_stack([_joints(environment, positions, rotations), gripper])


def _grasp_yaw(rotation, centre, others):
    """The heading nearest to the start's at which fingers fit a cube and miss the other ones."""
    turn = np.arctan2(rotation[1, 0], rotation[0, 0])
    quarters = turn + np.arange(-4, 5) * np.pi / 2
    for yaw in sorted(quarters, key=abs):
        # The fingers open along the y axis of the heading.
        x, y = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
        away = [(other - centre)[:2] for other in others]
        half = 0.035  # m, of the other cube, turned in any way
        if all(abs(a @ y) > FINGERS[0] + half or abs(a @ x) > FINGERS[1] + half for a in away):
            return yaw
    return min(quarters, key=abs)


def _take(rng, home, centre, yaw):
    """Over the cube, down, and close."""
    along = rng.uniform(-0.004, 0.004)
    held = centre + [along * np.cos(yaw), along * np.sin(yaw), rng.uniform(-0.003, 0.005)]
    over = held + [*rng.uniform(-BESIDE, BESIDE, 2), rng.uniform(0.07, 0.11)]
    bow = rng.uniform(-0.03, 0.03)
    return [
        Move(over, yaw, _steps(home, over, rng.uniform(0.12, 0.18), 10), OPEN, bow),
        Move(held, yaw, _steps(over, held, rng.uniform(0.07, 0.10), 7), OPEN),
        Move(held, yaw, int(rng.integers(8, 11)), CLOSE),
    ]


def _lift(rng, held):
    """Straight up, a little to the side."""
    top = held.position + [*rng.uniform(-0.02, 0.02, 2), rng.uniform(0.09, 0.13)]
    steps = _steps(held.position, top, rng.uniform(0.10, 0.15), 7)
    return [Move(top, held.yaw, steps, CLOSE)]


def _put(rng, top, place):
    """Over the place, down, open, and away; the heading stays."""
    place = place + [*rng.uniform(-0.003, 0.003, 2), rng.uniform(0.001, 0.003)]
    over = place + [*rng.uniform(-BESIDE, BESIDE, 2), rng.uniform(0.05, 0.08)]
    away = place + [*rng.uniform(-0.03, 0.03, 2), rng.uniform(0.10, 0.14)]
    carry, lower = rng.uniform(0.10, 0.15), rng.uniform(0.05, 0.07)
    yaw, bow = top.yaw, rng.uniform(-0.02, 0.02)
    return [
        Move(over, yaw, _steps(top.position, over, carry, 8), CLOSE, bow),
        Move(place, yaw, _steps(over, place, lower, 7), CLOSE),
        Move(place, yaw, int(rng.integers(6, 9)), OPEN),
        Move(away, yaw, _steps(place, away, rng.uniform(0.10, 0.15), 7), OPEN),
    ]


def _steps(begin, end, speed, least):
    """Control steps of a move at a mean speed (m/s)."""
    return max(round(CONTROL_HZ * np.linalg.norm(end - begin) / speed), least)


def _path(start, moves):
    """Positions (T, 3), rotations (T) and gripper commands (T,), each move of minimum jerk."""
    position, rotation = start
    positions, rotations, gripper = [], [], []
    for move in moves:
        share = np.arange(1, move.steps + 1) / move.steps
        done = share**3 * (10.0 - 15.0 * share + 6.0 * share**2)
        way, end = move.position - position, Rotation.from_euler("z", move.yaw) * DOWN
        side = np.array([-way[1], way[0], 0.0]) / (np.linalg.norm(way[:2]) + 1e-6)
        detour = move.bow * 16.0 * share**2 * (1.0 - share) ** 2
        positions.append(position + done[:, None] * way + detour[:, None] * side)
        turn = Slerp([0.0, 1.0], Rotation.concatenate([rotation, end]))
        rotations.append(turn(done))
        gripper.append(np.full(move.steps, move.gripper))
        position, rotation = move.position, end
    return np.concatenate(positions), Rotation.concatenate(rotations), np.concatenate(gripper)


def _joints(environment, positions, rotations):
    """Joints (T, 7) rad that bring the hand along a path."""
    joints = environment.joint_addresses
    model = environment.model
    rest, begin = model.qpos0.copy(), model.qpos0.copy()
    rest[joints], begin[joints] = environment.posture, environment.data.qpos[joints]
    hand = mink.FrameTask(environment.hand_site, "site", position_cost=1.0, orientation_cost=1.0)
    posture = mink.PostureTask(model, _POSTURE_COST)
    posture.set_target(rest)
    body = mink.Configuration(model, begin)
    found = []
    for position, rotation in zip(positions, rotations, strict=True):
        turned = mink.SO3.from_matrix(rotation.as_matrix())
        hand.set_target(mink.SE3.from_rotation_and_translation(turned, position))
        for _ in range(_IK_STEPS):
            speed = mink.solve_ik(body, [hand, posture], 1.0, "quadprog")
            body.integrate_inplace(speed, 1.0)
        found.append(body.q[joints])
    return np.array(found)
