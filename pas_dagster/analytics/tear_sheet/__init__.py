"""The tear sheet of a book: one page of HTML that needs nothing else, for reading, printing and keeping.

* `book` - what goes in, and the same brought onto observed sessions.
* `measures` - the headline numbers with their definitions, months and years, drawdown episodes, rolling windows.
* `charts`, `tables` - the parts of the page: a finding in words with its chart or table, or in words why there is none.
* `words` - numbers and days in words.
* `style` - the style sheet.
* `page` - the whole.
"""

from pas_dagster.analytics.tear_sheet.book import Book, Holding
from pas_dagster.analytics.tear_sheet.page import tear_sheet

__all__ = ["Book", "Holding", "tear_sheet"]
