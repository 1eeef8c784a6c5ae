#!/usr/bin/env python3
"""Writes the lower part of docs/conformance.md from the results of the conformance cases, or checks that it is true.

    scripts/conformance-doc.py target/conformance/*.xml            # write
    scripts/conformance-doc.py --check target/conformance/*.xml    # exit 1 and say what is not so

The test `conformance` plays the cases and leaves a JUnit file for each set-up. The upper part of the page, with the table
of exceptions, is written by hand: a case that fails must be in it, and one that is in it must fail.
"""

import argparse
import collections
import os
import re
import sys
import xml.etree.ElementTree as ET

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "docs", "conformance.md")
MARK = "<!-- From here on written by scripts/conformance-doc.py. -->\n"
# The set-up that most cases are played in; the others are named by their file.
USUAL = "usual"


def read_results(files):
    """{version: {case: {set-up: (verdict, words)}}}"""
    results = collections.defaultdict(lambda: collections.defaultdict(dict))
    for file in files:
        setup = os.path.splitext(os.path.basename(file))[0]
        for case in ET.parse(file).iter("testcase"):
            failure, skipped = case.find("failure"), case.find("skipped")
            if failure is not None:
                result = ("failed", failure.get("message"))
            elif skipped is not None:
                result = ("not played", skipped.get("message"))
            else:
                result = ("passed", "")
            version = case.get("classname").removeprefix("kmip.")
            results[version][case.get("name")][setup] = result
    return results


def read_exceptions(text):
    """The cases in the first column of the table under Exceptions."""
    section = re.search(r"^## Exceptions\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    rows = re.findall(r"^\| *(TC-[^|]*?|[A-Z][^|]*?) *\|", section.group(1), re.M) if section else []
    return {name.strip(" `") for row in rows for name in row.split(",") if re.search(r"-1\d", name)}


def verdict(by_setup, excepted):
    """What became of a case in all its set-ups."""
    for setup in sorted(by_setup, key=lambda setup: setup != USUAL):
        if by_setup[setup][0] == "passed":
            return "passed", "" if setup == USUAL else "set-up: " + setup
    words = next(iter(by_setup.values()))
    failures = [result for result in by_setup.values() if result[0] == "failed"]
    if failures:
        return ("exception" if excepted else "failed"), ("see above" if excepted else failures[0][1])
    return words


def lower_part(results, exceptions):
    counts, body = collections.Counter(), []
    for version in sorted(results):
        body.append("\n### KMIP %s\n\n| case | result | remark |\n| --- | --- | --- |\n" % version)
        for case in sorted(results[version]):
            result, remark = verdict(results[version][case], case in exceptions)
            counts[result] += 1
            body.append("| %s | %s | %s |\n" % (case, result, remark))
    order = {"passed": "passed", "exception": "exceptions", "failed": "failed", "not played": "not played"}
    total = ", ".join("%d %s" % (counts[result], words) for result, words in order.items() if counts[result])
    return MARK + "\n## Results\n\n%s.\n" % total + "".join(body)


def problems(results, exceptions):
    found, played = [], {}
    for version in results:
        for case, by_setup in results[version].items():
            played[case] = verdict(by_setup, False)
    for case, (result, words) in sorted(played.items()):
        if result == "failed" and case not in exceptions:
            found.append("%s fails and is not among the exceptions: %s" % (case, words))
    for case in sorted(exceptions):
        if case not in played:
            found.append("%s is an exception, but there is no such case" % case)
        elif played[case][0] != "failed":
            found.append("%s is an exception, but it is %s" % (case, played[case][0]))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the page is not true")
    parser.add_argument("results", nargs="+", metavar="JUNIT", help="results, one file for each set-up")
    args = parser.parse_args()
    results = read_results(args.results)
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    upper = text.partition(MARK)[0]
    exceptions = read_exceptions(upper)
    found = problems(results, exceptions)
    page = upper + lower_part(results, exceptions)
    if not args.check:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(page)
    elif page != text:
        found.append("docs/conformance.md does not show these results: run scripts/conformance-doc.py on them")
    print("\n".join(found) if found else "docs/conformance.md is true")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
