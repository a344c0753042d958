from .app import add_page as add_page
