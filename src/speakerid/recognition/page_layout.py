"""The page of `speakerid serve` as Gradio shows it. This is the only module that needs Gradio, the extra `serve`."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes import Default
from starlette.middleware import Middleware

from speakerid.recognition.answers import Voice
from speakerid.recognition.own_pages import OwnPages
from speakerid.recognition.page import Page, heard
from speakerid.recognition.page_html import STYLE, sentence
from speakerid.recognition.recognizer import FALSE_ACCEPTS
from speakerid.recognition.serving import is_loopback


def launch(page: Page, host: str, port: int) -> gr.Blocks:
    """Start a server; `close` of what is returned ends it.

    No telemetry, no share link, no record of what was asked, and no font or script from elsewhere.

    Args:
        page: what it answers.
        host, port: where it listens.

    Raises:
        OSError: host and port cannot be listened at.
    """
    blocks = layout(page)
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
        max_file_size=round(2**20 * page.limits.megabytes),
        app_kwargs={"middleware": [Middleware(OwnPages, local=is_loopback(host))]},
        theme=Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=STYLE,
    )
    return blocks


def layout(page: Page) -> gr.Blocks:
    """The page, ready to be launched."""
    with gr.Blocks(title="speakerid", analytics_enabled=False) as blocks:
        with gr.Tab("Who is speaking?"):
            _ask(page)
        with gr.Tab("Enrol"):
            enrolled = _enroll(page)
        with gr.Tab("Speakers"):
            _speakers(page, enrolled, blocks)
    return blocks


def _ask(page: Page) -> None:
    with gr.Row():
        with gr.Column():
            recording = gr.Audio(
                sources=["upload", "microphone"], type="filepath", editable=False, buttons=[],
                label="Drop a recording, or speak", elem_id="ask",
            )  # fmt: skip
            percent = gr.Slider(
                0.1, 50, value=100 * FALSE_ACCEPTS, step=0.1, label="False accepts, %",
                info="Share of strangers who may be given a name",
            )  # fmt: skip
            gr.HTML(sentence(
                f"Up to {page.limits.seconds:g} s and {page.limits.megabytes:g} MB; a recording is deleted as soon as "
                "it was heard"
            ))  # fmt: skip
        with gr.Column():
            answer = gr.HTML(elem_id="answer")
    voice = gr.State(None)

    def identify(path: str | None, percent: float) -> tuple[None, Voice | None, str]:
        voice, text = page.identify(Path(path), percent / 100) if path else (None, "")
        return None, voice, text

    def reconsider(voice: Voice | None, percent: float) -> str:
        return page.reconsider(voice, percent / 100)

    sent = [recording.upload, recording.stop_recording]
    gr.on(sent, identify, [recording, percent], [recording, voice, answer], api_name="identify")
    percent.change(reconsider, [voice, percent], answer, api_name="reconsider", show_progress="hidden")


def _enroll(page: Page) -> gr.HTML:
    """Returns what changes when somebody was enrolled."""
    with gr.Row():
        with gr.Column():
            files = gr.File(file_count="multiple", label="Drop recordings of one speaker", height=140, elem_id="files")
            spoken = gr.Audio(
                sources=["microphone"], type="filepath", editable=False, buttons=[], label="Or speak", elem_id="spoken"
            )
        with gr.Column():
            gathered = gr.HTML(sentence(heard([])), elem_id="gathered")
            again = gr.Button("Start over")
            name = gr.Textbox(label="Name", max_lines=1, elem_id="name")
            enroll = gr.Button("Enrol", variant="primary", elem_id="enroll")
            said = gr.HTML(elem_id="enrolled")
    voices = gr.State([])

    def gather_files(paths: list[str] | None, voices: list[Voice]) -> tuple[None, list[Voice], str, str]:
        left, text = page.gather([Path(path) for path in paths or []], voices)
        return None, left, text, ""

    def gather_spoken(path: str | None, voices: list[Voice]) -> tuple[None, list[Voice], str, str]:
        return gather_files([path] if path else [], voices)

    def learn(name: str, voices: list[Voice]) -> tuple[str, list[Voice], str, str]:
        left, text = page.enroll(name, voices)
        return name if left or not voices else "", left, sentence(heard(left)), text

    files.upload(gather_files, [files, voices], [files, voices, gathered, said], api_name="gather")
    spoken.stop_recording(gather_spoken, [spoken, voices], [spoken, voices, gathered, said], api_visibility="private")
    again.click(lambda: ([], sentence(heard([])), ""), None, [voices, gathered, said], api_name="start_over")
    gr.on([enroll.click, name.submit], learn, [name, voices], [name, voices, gathered, said], api_name="enroll")
    return said


def _speakers(page: Page, enrolled: gr.HTML, blocks: gr.Blocks) -> None:
    with gr.Row():
        with gr.Column(scale=2):
            table = gr.HTML(elem_id="speakers")
        with gr.Column():
            # What is no name is told by the page; Gradio would log a traceback.
            name = gr.Dropdown(page.names, value=None, label="Name", allow_custom_value=True, elem_id="whom")
            forget = gr.Button("Forget", variant="stop", elem_id="forget")
            said = gr.HTML(elem_id="forgotten")

    def listed() -> tuple[str, gr.Dropdown]:
        return page.speakers(), gr.Dropdown(choices=page.names, value=None)

    gr.on([blocks.load, enrolled.change], listed, None, [table, name], api_name="speakers")
    forget.click(page.forget, name, said, api_name="forget").then(listed, None, [table, name], api_visibility="private")
