"""Facts: the model, whether the service is alive and ready, and its figures."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from datasets.versions import package_versions
from recsys.model.live import LiveModel
from recsys.service.bodies.answers import PROBLEMS, answer, json_response
from recsys.service.bodies.schemas import ModelFacts
from recsys.service.requests.access import reading_routes
from recsys.service.requests.context import context_of
from recsys.service.requests.metrics import CONTENT_TYPE

FACTS = reading_routes()
FIGURES = reading_routes("")
HEALTH = APIRouter()


@FACTS.get(
    "/model",
    operation_id="modelFacts",
    tags=["model"],
    response_model=ModelFacts,
    responses=PROBLEMS,
)
async def model_facts(request: Request) -> Response:
    """What the model holds, how it was blended, and the limits of this service."""
    settings = context_of(request).settings
    limits = {
        name: getattr(settings, name)
        for name in ("max_k", "max_ids", "max_plays", "max_body", "max_upload", "max_sound_seconds")
    }
    version = package_versions(["coldtune"]).get("coldtune", "unknown")
    return await answer(
        request, lambda live: {**_facts_of(live), "limits": limits, "version": version}
    )


@HEALTH.get("/health/live", operation_id="isAlive", tags=["operation"])
async def is_alive() -> Response:
    """Whether the process answers at all."""
    return json_response({"alive": True})


@HEALTH.get(
    "/health/ready",
    operation_id="isReady",
    tags=["operation"],
    responses={503: {"description": "The model is being loaded, or cannot be."}},
)
async def is_ready(request: Request) -> Response:
    """Whether questions can be answered: false while a model loads."""
    served = context_of(request).served
    if served.is_ready:
        return json_response({"ready": True, "generation": served.generation()})
    reason = "the model cannot be read" if served.failure else "the model is being loaded"
    return json_response({"ready": False, "reason": reason}, 503, {"Retry-After": "1"})


@FIGURES.get(
    "/metrics",
    operation_id="metrics",
    tags=["operation"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
)
async def metrics_text(request: Request) -> Response:
    """Figures for Prometheus, of all processes together."""
    context = context_of(request)

    def text() -> bytes:
        context.tell_metrics()
        return context.metrics.text()

    return Response(await context.reads.run(text), headers={"Content-Type": CONTENT_TYPE})


def _facts_of(live: LiveModel) -> dict[str, Any]:
    info = live.state.info
    index = {
        name: one for name, one in live.index_info.items() if isinstance(one, int | float | str)
    }
    return {
        "now": live.counts(),
        "onboarded": live.items.n_onboarded,
        "changes": live.revision[1],
        "sources": [block.name for block in live.state.blocks],
        "blend": {kind: dict(info["blend"][kind]) for kind in ("warm", "cold")},
        "hears": live.state.encoder is not None,
        "embedding_size": int(live.state.embeddings.shape[1]),
        "columns": live.items.columns,
        "index": index,
    }
