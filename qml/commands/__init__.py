"""The commands of `qml`, one file each: a function `register(app)` that adds it to the Typer application."""
