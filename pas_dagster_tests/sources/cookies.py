"""A site's cookies carried from one call to the next, as a browser carries them."""

from __future__ import annotations

from dataclasses import replace

from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site


def remembering(site: Site) -> Site:
    """The site as one visitor sees it. A POST that is led elsewhere goes on as a GET."""
    jar: dict[str, str] = {}
    led_to: set[str] = set()

    def answer(present: Present, call: Call) -> Answer | None:
        if call.path in led_to:
            call = replace(call, method="GET", body=b"")
        led_to.clear()
        cookies = "; ".join(f"{name}={value}" for name, value in jar.items())
        found = site.answer(present, replace(call, headers={**call.headers, "cookie": cookies}))
        if found is not None:
            for cookie in filter(None, found.headers.get("Set-Cookie", "").split("\n")):
                name, _, value = cookie.partition(";")[0].partition("=")
                jar[name] = value
            led_to.update({found.headers["Location"]} if "Location" in found.headers else ())
        return found

    return replace(site, answer=answer)
