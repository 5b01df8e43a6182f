"""Where the parts of a Python function lie in its image (docs/architecture.md), without a leading slash."""

RUNTIME, DEPS, FUNC = "opt/kfn/runtime", "opt/kfn/deps", "func"
