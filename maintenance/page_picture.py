"""Takes the picture of the page that the README shows: an example, before and after.

python maintenance/page_picture.py --output=docs/web.png

It needs playwright and Chromium (`apt-get install chromium`).
"""

import shutil
import subprocess
import sys
from pathlib import Path

import PIL.Image
from absl import flags

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nlrn_tf import cli
from nlrn_tf.errors import NLRNError

FLAGS = flags.FLAGS
flags.DEFINE_string("output", "docs/web.png", "PNG file to write.")
flags.DEFINE_string("weights", "auto", "Weights that restore the photograph.")

_SIZE = {"width": 890, "height": 540}
_PATIENCE = 600_000  # milliseconds


def take_picture(address: str, output: str) -> None:
    """Restores the first example on a page that is served, and takes a picture of that.

    Raises:
      NLRNError: Chromium is not installed.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        raise NLRNError("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=_SIZE)
        page.set_default_timeout(_PATIENCE)
        page.goto(address)
        page.click("#examples img >> nth=0")
        page.wait_for_selector("#download:visible")
        page.wait_for_selector("#slider img >> nth=1")
        page.mouse.move(5, 5)
        page.wait_for_timeout(1000)  # for what moves
        page.screenshot(path=output)
        browser.close()
    with PIL.Image.open(output) as picture:
        picture.convert("RGB").save(output, optimize=True)


def main(_):
    command = [sys.executable, Path(__file__).resolve().parents[1] / "run_web.py", "--port=0"]
    command.append(f"--weights={FLAGS.weights}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().split()[4]
            take_picture(address, FLAGS.output)
        finally:
            server.terminate()
    print(f"see {FLAGS.output}")


if __name__ == "__main__":
    cli.run(main)
