"""Writes fixtures/*.json beside this file: series of readings, and the statistics oracle.py gives for them.

Run it after changing a definition or a series: `python3 tests/it/statistics/fixtures.py`. The series are drawn from a fixed seed.
"""

import json
import random
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path

from oracle import summary

rng = random.Random(20240501)


def utc(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp())


def text_of(value, unit):
    if unit == "mg/dL":
        return str(round(value))
    return f"{value / 18.01559:.1f}"


def series(sensor, start, count, step, unit="mg/dL", offset=0, loss=0.0, jitter=0, level=140, spread=60, absent=0.0):
    """A wandering series; `offset` is minutes or a function of the instant."""
    out, value = [], level
    for i in range(count):
        value = min(max(value + rng.gauss(0, 9) + (level - value) * 0.05, 25), 430)
        seconds = start + i * step + (rng.randint(-jitter, jitter) if jitter else 0)
        at = offset(seconds) if callable(offset) else offset
        if rng.random() < loss:
            continue
        low, high = ("40", "400") if unit == "mg/dL" else ("2.2", "22.2")
        shown = level + (value - level) * spread / 30
        if rng.random() < absent:
            out.append([sensor, seconds, at, "absent", "", unit])
        elif shown < float(low) * (1 if unit == "mg/dL" else 18.01559):
            out.append([sensor, seconds, at, "below", low, unit])
        elif shown > float(high) * (1 if unit == "mg/dL" else 18.01559):
            out.append([sensor, seconds, at, "above", high, unit])
        else:
            out.append([sensor, seconds, at, "value", text_of(shown, unit), unit])
    return out


def case(dates, window, readings, starts=None):
    readings.sort(key=lambda r: r[1])
    return {"dates": dates, "window": window, "sensor_starts": starts or {}, "readings": readings}


def cases():
    day = utc("2024-05-01T00:00")
    one_day = (["2024-05-01", "2024-05-01"], [day, day + 86400])
    values = "53 54 55 69 70 71 179 180 181 249 250 251".split()
    yield "boundary_values_mass", case(*one_day, [[1, day + 300 * i, 0, "value", values[i % 12], "mg/dL"] for i in range(288)])
    values = "2.9 2.94 2.95 3.0 3.8 3.84 3.85 3.9 10.0 10.04 10.05 10.1 13.9 13.949 13.95 14.0 22".split()
    yield "boundary_values_molar", case(*one_day, [[1, day + 300 * i, 0, "value", v, "mmol/L"] for i, v in enumerate(values)])
    values = "53.4 53.49 53.5 69.49 69.5 180.49 180.5 250.499999 250.5 100.10".split()
    yield "boundary_decimals_mass", case(*one_day, [[1, day + 300 * i, 0, "value", v, "mg/dL"] for i, v in enumerate(values)])
    yield "constant", case(*one_day, [[1, day + 900 * i, 0, "value", "6.7", "mmol/L"] for i in range(90)])
    yield "clipped", case(*one_day, series(1, day, 140, 300, level=60, spread=160) + series(1, day + 43200, 140, 300, level=380, spread=160)
                          + [[1, day + 43000, 0, "above", "500", "mg/dL"], [1, day + 42700, 0, "above", "10.0", "mmol/L"],
                             [1, day + 42400, 0, "below", "3.9", "mmol/L"], [1, day + 42100, 0, "below", "70", "mg/dL"]])
    yield "two_units", case(*one_day, series(1, day, 100, 300) + series(2, day + 40000, 100, 300, unit="mmol/L"))
    yield "gaps_and_jitter", case(*one_day, series(1, day, 288, 300, loss=0.3, jitter=14, absent=0.05))
    yield "lone_readings", case(*one_day, series(1, day + 100, 1, 300) + series(1, day + 9000, 3, 600) + series(1, day + 20000, 5, 900)
                                + series(1, day + 40000, 1, 900) + series(2, day + 50000, 1, 300) + series(3, day + 60000, 2, 60))
    yield "mixed_intervals", case(*one_day, series(1, day, 60, 60, level=180) + series(1, day + 5400, 30, 300, level=90)
                                  + series(1, day + 15000, 20, 900, level=250) + series(2, day + 40000, 40, 900, unit="mmol/L", level=70)
                                  + series(3, day + 78000, 200, 60, loss=0.2, level=120))
    yield "change_of_pace_without_gap", case(*one_day, series(1, day, 11, 900) + series(1, day + 9960, 20, 60) + series(1, day + 11400, 20, 300))
    yield "overlap", case(*one_day, series(1, day, 200, 300, level=90) + series(2, day + 30010, 190, 300, level=220, loss=0.2, absent=0.1))
    yield "overlap_on_one_grid", case(*one_day, series(7, day, 200, 300, level=90, loss=0.1) + series(3, day + 30000, 150, 300, level=220, loss=0.25),
                                      {7: day - 864000, 3: day + 30000})
    yield "overlap_of_intervals", case(*one_day, series(1, day, 50, 900, level=90) + series(2, day + 10000, 200, 300, level=220, loss=0.3)
                                       + series(3, day + 30000, 400, 60, level=150, loss=0.5), {1: day - 5, 2: day - 9})
    yield "overlap_started_together", case(*one_day, series(1, day, 100, 300, level=90) + series(2, day, 80, 300, level=220))
    yield "doubled", case(*one_day, (lambda s: s + [r[:4] + ["199", "mg/dL"] for r in s[10:20]])(series(1, day, 60, 300)))
    yield "window_edges", case(*one_day, series(1, day - 3000, 310, 300, jitter=7))
    yield "one_reading", case(*one_day, series(1, day + 600, 1, 300))
    yield "only_absent", case(*one_day, series(1, day + 600, 5, 300, absent=1.0))

    def berlin(t):
        return 120 if utc("2024-03-31T01:00") <= t < utc("2024-10-27T01:00") else 60

    for name, first, last, count in (("spring", "2024-03-30", "2024-04-01", 284), ("autumn", "2024-10-26", "2024-10-28", 292)):
        start = utc(first + "T00:00") - 60 * berlin(utc(first + "T00:00"))
        end = utc(last + "T00:00") + 86400 - 60 * berlin(utc(last + "T12:00"))
        yield f"clocks_change_in_{name}", case([first, last], [start, end], series(1, start, count, 900, offset=berlin, unit="mmol/L"))
    # Berlin to New York and back: local dates go back and forth, and before the first date.
    start = utc("2024-05-09T22:00")

    def travel(t):
        hours = (t - start) / 3600
        return -240 if 23 <= hours < 25 or hours < 1 or 40 <= hours < 60 else 120

    yield "travel", case(["2024-05-10", "2024-05-12"], [start, start + 3 * 86400], series(1, start, 288, 900, offset=travel, loss=0.02))
    # West at night: the last hours fall on a date after the range by their own offset.
    yield "travel_past_the_end", case(["2024-05-10", "2024-05-11"], [start, start + 2 * 86400],
                                      series(1, start, 192, 900, offset=lambda t: 840 if t > start + 90000 else 120))
    start = utc("2024-05-01T00:00")
    for name, count in (("fourteen_days_just_enough", 941), ("fourteen_days_just_short", 940)):
        yield name, case(["2024-05-01", "2024-05-14"], [start, start + 14 * 86400], series(1, start, count, 900))
    yield "fourteen_days_exactly_enough", case(["2024-05-01", "2024-05-14"], [start, start + 14 * 86400],
                                               series(1, start, 940, 900) + series(1, start + 939 * 900 + 720, 1, 900))
    for name, early in (("enough", 180), ("short", 179)):
        # The third date's first reading covers its first seconds before midnight.
        yield f"days_covered_just_{name}", case(["2024-05-01", "2024-05-03"], [start, start + 3 * 86400],
                                                series(1, start, 202, 300) + series(1, start + 86400, 201, 300)
                                                + series(1, start + 2 * 86400 - early, 100, 300))
    # One reading of the first evening was taken east, where it was the next date already.
    yield "a_date_for_one_reading", case(["2024-05-01", "2024-05-02"], [start, start + 2 * 86400],
                                         series(1, start + 75600, 30, 300, offset=lambda t: 240 if t == start + 78000 else 0))
    # A sensor slows down while one started earlier goes on.
    yield "change_of_pace_beside_another", case(*one_day, series(1, day, 200, 300, level=90) + series(2, day + 6000, 12, 300, level=230)
                                                + series(2, day + 10200, 20, 900, level=230), {1: day - 5, 2: day + 6000})
    for i in range(12):
        steps = [rng.choice((60, 300, 300, 900)) for _ in range(3)]
        readings = []
        for sensor, step in enumerate(steps):
            readings += series(sensor, day + rng.randint(0, 60000), rng.randint(5, 90), step, unit=rng.choice(("mg/dL", "mmol/L")),
                               loss=rng.choice((0, 0.1, 0.4)), jitter=rng.choice((0, 0, 5, 14)), level=rng.choice((80, 140, 230)),
                               absent=rng.choice((0, 0.1)), offset=rng.choice((-300, 0, 330)))
        yield f"drawn_{i:02}", case(["2024-05-01", "2024-05-01"], [day, day + 86400], readings)
    # The newer of two is silent for an hour and a half of its day: 93.75 %, whatever the older says.
    newer = [r for r in series(2, day, 288, 300, level=220) if not day + 36000 <= r[1] < day + 41400]
    yield "gap_beside_an_older_sensor", case(*one_day, series(1, day, 288, 300, level=90) + newer, {1: day - 864000, 2: day})
    # It is silent for longer than a day: the older one was worn instead.
    newer = series(2, start, 100, 300, level=220) + series(2, start + 2 * 86400, 100, 300, level=220)
    yield "days_beside_an_older_sensor", case(["2024-05-01", "2024-05-03"], [start, start + 3 * 86400],
                                              series(1, start, 864, 300, level=90) + newer, {1: start - 864000, 2: start})
    yield "every_three_minutes", case(*one_day, series(1, day, 400, 180, loss=0.1, jitter=9))
    yield "every_ten_minutes", case(*one_day, series(1, day, 100, 600, loss=0.05, jitter=14))


def compact(case):
    """Readings of one sensor, unit and offset in a row share a line: [sensor, offset, unit, first second, [delta, text]…]."""
    lines, previous = [], None
    for (sensor, offset, unit), group in groupby(case["readings"], key=lambda r: (r[0], r[2], r[5])):
        line, at = [sensor, offset, unit], None
        for _, seconds, _, kind, text, _ in group:
            mark = {"value": "", "below": "<", "above": ">", "absent": "?"}[kind]
            line += [seconds - (case["window"][0] if at is None else at), mark + text]
            at = seconds
        lines.append(line)
    return lines


if __name__ == "__main__":
    folder = Path(__file__).parent / "fixtures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in cases():
        expected = summary(data)["figures"]
        parts = [f'"dates": {json.dumps(data["dates"])}', f'"window": {json.dumps(data["window"])}',
                 f'"sensor_starts": {json.dumps(data["sensor_starts"])}', f'"expected": {json.dumps(expected)}',
                 '"readings": [\n' + ",\n".join(json.dumps(line, separators=(",", ":")) for line in compact(data)) + "\n]"]
        (folder / f"{name}.json").write_text("{\n" + ",\n".join(parts) + "\n}\n")
