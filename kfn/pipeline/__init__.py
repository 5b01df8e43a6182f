"""What a Pipeline means: `read(pipeline)` makes its plan, or names every field at fault. Pure; `eventing.pipelines` runs plans."""

from kfn.pipeline.expression import BadExpression, EvaluationError, Expression
from kfn.pipeline.model import Join, Need, Plan, Policy, Step, delay
from kfn.pipeline.read import check, read

__all__ = ["BadExpression", "EvaluationError", "Expression", "Join", "Need", "Plan", "Policy", "Step", "check", "delay", "read"]
