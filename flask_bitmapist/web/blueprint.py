from flask import Blueprint


def create_blueprint() -> Blueprint:
    return Blueprint("bitmapist", __name__, url_prefix="/bitmapist")
