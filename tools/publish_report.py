"""Takes the links that lead nowhere out of the page of a report that is published with some of its files.

python -m tools.publish_report docs/results/NAME
"""

import sys
from pathlib import Path

from mixlingual.files import written_whole
from mixlingual.reporting.page import without_dead_links

if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name, "index.html")
        html = without_dead_links(page.read_text(encoding="utf-8"), page.parent)
        with written_whole(page) as temporary:
            temporary.write_text(html, encoding="utf-8")
