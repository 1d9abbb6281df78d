"""Layout of the page of `speakerid serve` in Gradio, the extra `serve`, which only this module needs.

Inputs come as JSON (`preprocess=False`), since Gradio would turn a number into text and text into a traceback; `Page`
checks them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Default
from starlette.middleware import Middleware

from speakerid.recognition import FALSE_ACCEPTS
from speakerid.recognition.results import Voice
from speakerid.web.hosts import is_loopback
from speakerid.web.page import LEAST_PERCENT, MOST_PERCENT, Page, gathered_line
from speakerid.web.page_html import STYLE, sentence
from speakerid.web.same_origin import OwnPages
from speakerid.web.uploads import Uploads

LOOK_AGAIN = 5.0
"""Seconds after which an open page checks for speakers that other programs have enrolled or forgotten."""


def launch(page: Page, host: str, port: int, folder: Path) -> gr.Blocks:
    """Start a server; call `close` on the result to stop it.

    It has no telemetry, share link or log of requests, and loads no font or script from elsewhere.

    Args:
        page: answers of the page.
        host, port: address to listen on.
        folder: folder for recordings until they are read, where Gradio keeps its files.

    Raises:
        OSError: the address cannot be listened on.
    """
    blocks = layout(page)
    max_bytes = round(2**20 * page.limits.megabytes)
    middleware = [
        Middleware(OwnPages, local=is_loopback(host)),
        Middleware(Uploads, folder=folder, max_bytes=max_bytes),
    ]
    blocks.launch(
        server_name=f"[{host}]" if ":" in host else host,  # IPv6
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        inline=False,
        share=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=[],
        max_file_size=max_bytes,  # so that the browser refuses larger files before it sends them
        app_kwargs={"middleware": middleware},
        theme=Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=STYLE,
    )
    return blocks


def layout(page: Page) -> gr.Blocks:
    """Build the page."""
    with gr.Blocks(title="speakerid", analytics_enabled=False) as blocks:
        with gr.Tab("Who is speaking?"):
            _ask(page)
        with gr.Tab("Enroll"):
            enrolled = _enroll(page)
        with gr.Tab("Speakers") as tab:
            _speakers(page, [blocks.load, tab.select, enrolled.change])
    return blocks


def _ask(page: Page) -> None:
    with gr.Row():
        with gr.Column():
            recording = gr.Audio(
                sources=["upload", "microphone"], type="filepath", editable=False, buttons=[],
                label="Drop a recording, or speak", elem_id="ask",
            )  # fmt: skip
            percent = gr.Slider(
                LEAST_PERCENT, MOST_PERCENT, value=100 * FALSE_ACCEPTS, step=0.1, label="False accepts, %",
                info="Share of strangers who may be given a name",
            )  # fmt: skip
            gr.HTML(sentence(
                f"Up to {page.limits.seconds:g} s and {page.limits.megabytes:g} MB; a recording is deleted as soon as "
                "it is answered"
            ))  # fmt: skip
        with gr.Column():
            answer = gr.HTML(elem_id="answer")
    voice = gr.State(None)

    def identify(file: dict[str, Any] | None, percent: object) -> tuple[None, Voice | None, str]:
        voice, text = page.identify(Path(file["path"]), percent) if file else (None, "")
        return None, voice, text

    sent = [recording.upload, recording.stop_recording]
    gr.on(
        sent, identify, [recording, percent], [recording, voice, answer], preprocess=False, api_name="identify"
    )  # fmt: skip
    percent.change(
        page.reconsider, [voice, percent], answer, preprocess=False, api_name="reconsider", show_progress="hidden"
    )


def _enroll(page: Page) -> gr.HTML:
    """Build the tab for enrollment; returns the element that changes after an enrollment."""
    with gr.Row():
        with gr.Column():
            files = gr.File(file_count="multiple", label="Drop recordings of one speaker", height=140, elem_id="files")
            spoken = gr.Audio(
                sources=["microphone"], type="filepath", editable=False, buttons=[], label="Or speak", elem_id="spoken"
            )
        with gr.Column():
            gathered = gr.HTML(sentence(gathered_line([])), elem_id="gathered")
            again = gr.Button("Start over")
            name = gr.Textbox(label="Name", max_lines=1, elem_id="name")
            enroll = gr.Button("Enroll", variant="primary", elem_id="enroll")
            said = gr.HTML(elem_id="enrolled")
    voices = gr.State([])

    def gather(
        files: list[dict[str, Any]] | dict[str, Any] | None, voices: list[Voice]
    ) -> tuple[None, list[Voice], str, str]:
        several = files if isinstance(files, list) else [files] if files else []
        left, text = page.gather([Path(file["path"]) for file in several], voices)
        return None, left, text, ""

    def learn(name: object, voices: list[Voice]) -> tuple[object, list[Voice], str, str]:
        left, text = page.enroll(name, voices)
        return gr.skip() if left or not voices else "", left, sentence(gathered_line(left)), text

    gathering = [voices, gathered, said]
    files.upload(gather, [files, voices], [files, *gathering], preprocess=False, api_name="gather")
    spoken.stop_recording(gather, [spoken, voices], [spoken, *gathering], preprocess=False, api_visibility="private")
    again.click(lambda: ([], sentence(gathered_line([])), ""), None, gathering, api_name="start_over")
    gr.on(
        [enroll.click, name.submit], learn, [name, voices], [name, *gathering], preprocess=False,
        api_name="enroll",
    )  # fmt: skip
    return said


def _speakers(page: Page, changes: list[Any]) -> None:
    """Build the list of speakers, updated on these events and when another program has changed the bundle."""
    with gr.Row():
        with gr.Column(scale=2):
            table = gr.HTML(elem_id="speakers")
        with gr.Column():
            # The page reports a wrong name; Gradio would log a traceback.
            name = gr.Dropdown(value=None, label="Name", allow_custom_value=True, elem_id="whom")
            forget = gr.Button("Forget", variant="stop", elem_id="forget")
            said = gr.HTML(elem_id="forgotten")

    shown = gr.State("")

    def listed() -> tuple[str, gr.Dropdown, str]:
        names, html = page.speakers()
        return html, gr.Dropdown(choices=names, value=None), html

    def look_again(shown: str) -> Any:
        return gr.skip() if page.speakers()[1] == shown else listed()

    listing = [table, name, shown]
    gr.on(changes, listed, None, listing, api_name="speakers")
    gr.Timer(LOOK_AGAIN).tick(look_again, shown, listing, show_progress="hidden", api_visibility="private")
    forget.click(page.forget, name, said, preprocess=False, api_name="forget").then(
        listed, None, listing, api_visibility="private"
    )
