"""Gives the page to an application."""

from fastapi import FastAPI

from recsys.service.page.media import PAGE_MEDIA, PageCache
from recsys.service.page.session import KeyFromCookie
from recsys.service.page.views import OPEN_PAGES, PAGES
from recsys.service.requests.context import ServiceContext


def add_page(app: FastAPI, context: ServiceContext) -> None:
    """Add the page and its parts to an application.

    Call it before what is around every request is added, so that this is around the page, too.

    Args:
        app: the application; it finds its context as ``app.state.context``.
        context: what its routes share.

    Examples:
        >>> from recsys.service import ServedModel, ServiceSettings
        >>> from recsys.service.requests.context import ServiceContext
        >>> app = FastAPI()
        >>> add_page(app, ServiceContext(ServedModel(recommender), ServiceSettings()))
        >>> app.user_middleware[0].cls.__name__
        'KeyFromCookie'
    """
    app.state.page_cache = PageCache()
    for router in (PAGES, OPEN_PAGES, PAGE_MEDIA):
        app.include_router(router)
    app.add_middleware(KeyFromCookie, context=context)
