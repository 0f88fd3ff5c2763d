"""The frame of the pages that grading writes: plain HTML that needs no network, no script, and no colour to be read."""

import html

# Dark grey on white has a contrast of 12 to 1; lines are marked by words and weight, never by colour alone.
STYLE = """
body { font: 18px/1.5 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } caption { text-align: left; font-weight: bold }
th, td { border-bottom: 1px solid #767676; padding: .3rem .8rem; text-align: left; vertical-align: top }
td.number { text-align: right } pre { background: #f2f2f2; padding: .8rem; overflow-x: auto; font-size: 16px }
"""
# Should an escape be forgotten one day, the browser still runs nothing and fetches nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def escaped(text):
    """Text of anybody's as text in a page."""
    return html.escape(str(text), quote=True)


def page(title, body):
    """A whole page; `title` is escaped here, `body` is HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{escaped(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def table(caption, heads, rows):
    """An HTML table; the cells of `rows` are HTML, the first of each row its heading, and numbers stand to the right."""
    lines = [f"<table><caption>{escaped(caption)}</caption>"]
    lines.append("<tr>" + "".join(f'<th scope="col">{escaped(head)}</th>' for head in heads) + "</tr>")
    for first, *others in rows:
        cells = "".join(f'<td class="number">{cell}</td>' if _is_number(cell) else f"<td>{cell}</td>" for cell in others)
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    return "\n".join([*lines, "</table>"])


def _is_number(cell):
    return cell[:1].isdigit()
