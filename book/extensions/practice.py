"""Sphinx extension: what a reader is asked before and after a measurement. Its script is loaded by pages that ask.

    ```{guess} NAME                 ```{answer} NAME                   :::{choice} Which one?
    How long does each take?        | box | measured |                 :right: 2
                                    |---|---|
    - a process                     | a process | {measured}`x` |      - The first.
    - a container                   | a container | {measured}`y` |
    ```                             ```                                  No. It…

                                                                       - The second.

                                                                         Right. It…
                                                                       :::

The script gives each item of a guess a field, and marks what was guessed in the answer's row of the same place. Of a choice
it shows an option's explanation once that is chosen. Without it, and on paper, all stands one after the other.
"""

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SCRIPT, STYLE = "practice.js", "practice.css"


class _Asked(SphinxDirective):
    """A box that the script knows by its class and id."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    kind: str

    def box(self) -> nodes.container:
        """The directive's content in its box."""
        self.assert_has_content()
        found = nodes.container(classes=["practice", self.kind])
        self.set_source_info(found)
        self.state.nested_parse(self.content, self.content_offset, found)
        return found

    def items(self, box: nodes.container) -> list[nodes.list_item]:
        """The items of its list."""
        lists = [node for node in box.children if isinstance(node, nodes.bullet_list)]
        if len(lists) != 1:
            raise self.error(f"a {self.kind} has one list")
        return list(lists[0].children)


class Guess(_Asked):
    kind = "guess"

    def run(self) -> list[nodes.Node]:
        box = self.box()
        names = self.env.__dict__.setdefault("practice_guesses", {})
        names[self.env.docname, self.arguments[0]] = len(self.items(box))
        box["ids"] = [f"guess-{self.arguments[0]}"]
        return [box]


class Answer(_Asked):
    kind = "answer"

    def run(self) -> list[nodes.Node]:
        name, box = self.arguments[0], self.box()
        asked = self.env.__dict__.get("practice_guesses", {}).get((self.env.docname, name))
        if asked is None:
            raise self.error(f"nothing on this page asks for the guess {name!r}")
        answered = sum(len(body.children) for body in box.findall(nodes.tbody))
        if answered != asked:
            raise self.error(f"the guess {name!r} asks for {asked} times, and this table has {answered}")
        box["ids"] = [f"answer-{name}"]
        return [box]


class Choice(_Asked):
    kind = "choice"
    option_spec = {"right": directives.positive_int}

    def run(self) -> list[nodes.Node]:
        box, right = self.box(), self.options.get("right", 0)
        options = self.items(box)
        if not 1 <= right <= len(options):
            raise self.error(f"`:right:` says which of the {len(options)} options is right")
        for number, option in enumerate(options, 1):
            if len(option) < 2:
                raise self.error(f"option {number} has no explanation")
            option["classes"].append("right" if number == right else "wrong")
            option[1:] = [nodes.container("", *option[1:], classes=["explanation"])]
        inline, _ = self.parse_inline(self.arguments[0])
        question = nodes.paragraph(self.arguments[0], "", *inline, classes=["question"])
        self.set_source_info(question)
        box.insert(0, question)
        return [box]


def load(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Load script and style where a page asks something."""
    if doctree and any("practice" in node["classes"] for node in doctree.findall(nodes.container)):
        app.add_js_file(SCRIPT, loading_method="defer")
        app.add_css_file(STYLE)


def setup(app: Sphinx) -> dict:
    for directive in (Guess, Answer, Choice):
        app.add_directive(directive.kind, directive)
    app.connect("html-page-context", load)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
