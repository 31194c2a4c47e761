"""What the paper reports (arXiv 2606.21672): rates in [0, 1], from other simulators and robots.

Wang, Lei, Watson and Posner, 2026, arXiv 2606.21672. Values that the paper gives as counts are
exact; those read off its text or figures are rounded.
"""

BEST_BASELINE = "best baseline"

SUCCESS = {
    "lifting": {"glam_o": 18 / 20, "glam": 0.75, "mip": 0.35, BEST_BASELINE: 11 / 20},
    "pick_place": {"glam_o": 15 / 20, "glam": 0.50, "mip": 0.20, BEST_BASELINE: 8 / 20},
    "knock_down": {"glam_o": 17 / 20, "glam": 0.60, "mip": 0.35, BEST_BASELINE: 10 / 20},
    "stack_two": {"glam_o": 0.90, "glam": 0.88, "mip": 0.12, BEST_BASELINE: 0.46},
    "stack_three": {"glam_o": 0.727, "glam": 0.57, "mip": 0.0, BEST_BASELINE: 0.04},
}

# Without and with 100 episodes of a third source, clean simulation.
THIRD_SOURCE = {
    "lifting": {"two_sources": 18 / 20, "three_sources": 18 / 20},
    "pick_place": {"two_sources": 15 / 20, "three_sources": 18 / 20},
    "knock_down": {"two_sources": 17 / 20, "three_sources": 20 / 20},
}

# Scaling on stack_two: curve -> episodes in all -> value; success on 20 fixed starts.
MIP, AUXILIARY, TARGET = "mip", "glam_o, more auxiliary", "glam_o, more target"
SCALING_TASK = "stack_two"
SCALING_SUCCESS = {
    MIP: {100: 0.15, 300: 0.30, 500: 0.95},
    AUXILIARY: {100: 0.10, 300: 0.80, 500: 0.90},
    TARGET: {100: 0.10, 300: 0.80, 500: 0.90},
}
# The paper gives one smoothness curve of GLAM-O, without saying for which kind of added data.
SCALING_JERK = {
    MIP: {100: -19.7, 300: -19.0, 500: -16.0},
    AUXILIARY: {100: -20.2, 300: -17.7, 500: -17.5},
}
SCALING_FFT = {
    MIP: {100: 0.17, 300: 0.146, 500: 0.10},
    AUXILIARY: {100: 0.19, 300: 0.12, 500: 0.11},
}
