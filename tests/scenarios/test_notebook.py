"""A real notebook kernel: cells that await, cells that do not, and one client over all of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from headrace.testing import FakeServer

if TYPE_CHECKING:
    from pathlib import Path

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

STREAM = """\
async with client.process_stream(['f', 'g'], ordered=True) as rows:
    print([r.completion async for r in rows])
"""
CELLS = (
    "from headrace import LLMClient\nclient = LLMClient('openai/fake', base_url={url!r})",
    "print([r.completion for r in client.process_prompts_sync(['a', 'b'], show_progress=False)])",
    "print((await client.process_prompts_async(['c'], show_progress=False))[0].completion)",
    "print(client.ask_sync('d').completion, (await client.ask('e')).completion)",
    STREAM,
    "print([r.completion for r in client.process_prompts_sync(['h'])])",
    "client.close()",
    "await client.aclose()",
)


@pytest.mark.filterwarnings("default")  # what the kernel's own libraries say is theirs
def test_cells(tmp_path: Path) -> None:
    with FakeServer.in_thread() as server:
        cells = [nbformat.v4.new_code_cell(cell.format(url=server.base_url)) for cell in CELLS[:1]]
        cells += [nbformat.v4.new_code_cell(cell) for cell in CELLS[1:]]
        notebook = nbformat.v4.new_notebook(cells=cells)
        runner = nbclient.NotebookClient(
            notebook, timeout=30, resources={"metadata": {"path": str(tmp_path)}}
        )
        runner.create_kernel_manager().kernel_cmd = [
            sys.executable,
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
        ]
        runner.execute()
    said = [
        "".join(o.get("text", "") for o in cell.outputs if o.get("name") == "stdout")
        for cell in notebook.cells
    ]
    assert said == [
        "",
        "['echo: a', 'echo: b']\n",
        "echo: c\n",
        "echo: d echo: e\n",
        "['echo: f', 'echo: g']\n",
        "['echo: h']\n",
        "",
        "",
    ]
    complaints = [o for cell in notebook.cells for o in cell.outputs if o.output_type == "error"]
    assert not complaints
