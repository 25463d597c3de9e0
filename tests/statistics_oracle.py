"""Writes tests/fixtures/statistics/*.json: series of readings and the statistics the published definitions give for them.

Independent of the crate: exact fractions, second by second, without regard to cost. Run it from the repository's root after
changing a definition: `python3 tests/statistics_oracle.py`. The series are drawn from a fixed seed.
"""

import json
import random
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal, getcontext
from fractions import Fraction
from itertools import groupby
from pathlib import Path

getcontext().prec = 60
MOLAR = Fraction("18.01559")
EPOCH = date(1970, 1, 1)


# ---- the definitions ----


def half_up(x):
    return (x + Fraction(1, 2)).__floor__()


def mg_dl(kind, text, unit):
    native = Fraction(text) if unit == "mg/dL" else Fraction(text) * MOLAR
    return native + {"value": 0, "below": -1, "above": 1}[kind]


def band(kind, text, unit):
    """Battelino 2019, by the value rounded in its native unit; a clipped value is the limit less or plus 1 mg/dL."""
    if unit == "mg/dL":
        shown, edges = half_up(mg_dl(kind, text, unit)), (54, 70, 180, 250)
    else:
        shown = Fraction(half_up(mg_dl(kind, text, unit) / MOLAR * 10), 10)
        edges = (Fraction(3), Fraction("3.9"), Fraction(10), Fraction("13.9"))
    very_low, low, high, very_high = edges
    if shown < very_low:
        return 0
    if shown < low:
        return 1
    if shown <= high:
        return 2
    return 3 if shown <= very_high else 4


def intervals(times):
    """Minutes each reading of one sensor counts for: that on which the next three gaps agree, else that of the one before."""

    def told(gap):
        for minutes, (least, most) in {1: (1, 150), 5: (210, 450), 15: (750, 1050)}.items():
            if least <= gap <= most:
                return minutes
        return None

    gaps = [told(b - a) for a, b in zip(times, times[1:])]
    agreed = [gaps[i] if len(set(gaps[i : i + 3])) == 1 and len(gaps) >= i + 3 else None for i in range(len(times))]
    if any(agreed):
        result, current = [], next(a for a in agreed if a)
        for a in agreed:
            current = a or current
            result.append(current)
        return result
    votes = [g for g in gaps if g]
    return [min(votes, key=lambda g: (-votes.count(g), g)) if votes else 5] * len(times)


def local_day(seconds, offset):
    return (datetime.fromtimestamp(seconds, timezone.utc) + timedelta(minutes=offset)).date()


def statistics(case):
    start, end = case["window"]
    first, last = (date.fromisoformat(d) for d in case["dates"])
    seen, readings = set(), []
    for sensor, seconds, offset, kind, text, unit in case["readings"]:
        if kind != "absent" and start <= seconds < end and (sensor, seconds) not in seen:
            seen.add((sensor, seconds))
            readings.append({"sensor": sensor, "t": seconds, "offset": offset, "x": mg_dl(kind, text, unit),
                             "band": band(kind, text, unit), "clipped": kind != "value"})
    for sensor in {r["sensor"] for r in readings}:
        own = [r for r in readings if r["sensor"] == sensor]
        for r, minutes in zip(own, intervals([r["t"] for r in own])):
            r["w"] = minutes
    starts = {int(k): v for k, v in case["sensor_starts"].items()}
    for r in readings:
        starts.setdefault(r["sensor"], min(o["t"] for o in readings if o["sensor"] == r["sensor"]))

    def overruled(r):
        rank = (starts[r["sensor"]], r["sensor"])
        for other in {o["sensor"] for o in readings if (starts[o["sensor"]], o["sensor"]) > rank}:
            before = [o for o in readings if o["sensor"] == other and o["t"] <= r["t"]]
            if before:
                latest = max(before, key=lambda o: o["t"])
                if r["t"] < latest["t"] + 60 * latest["w"]:
                    return True
        return False

    counted = [r for r in readings if not overruled(r)]
    by_second = {}
    for r in sorted(counted, key=lambda r: r["t"]):
        for second in range(r["t"], min(r["t"] + 60 * r["w"], end)):
            by_second.setdefault(second, r["offset"])

    def clamped(day):
        return min(max(day, first), last)

    worn = {clamped(local_day(r["t"], r["offset"])) for r in counted}
    covered_on = {}
    for second, offset in by_second.items():
        day = (second + 60 * offset) // 86400
        covered_on[day] = covered_on.get(day, 0) + 1
    on_date = {}
    for day, seconds in covered_on.items():
        key = clamped(EPOCH + timedelta(days=day))
        on_date[key] = on_date.get(key, 0) + seconds
    n, total = len(counted), sum(r["w"] for r in counted)
    expected = {"readings": n, "clipped": sum(r["clipped"] for r in counted)}
    if n < 2:
        return expected
    mean = Fraction(sum(r["w"] * r["x"] for r in counted)) / total
    variance = sum(r["w"] * (r["x"] - mean) ** 2 for r in counted) / (total - Fraction(sum(r["w"] ** 2 for r in counted), total))
    sd = (Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt()
    active = Fraction(100 * len(by_second), end - start)
    shares = [Fraction(100 * sum(r["w"] for r in counted if r["band"] == b), total) for b in range(5)]
    expected |= {
        "mean_mg_dl": float(mean),
        "mean_mmol_l": float(mean / MOLAR),
        "sd_mg_dl": float(sd),
        "cv_percent": float(100 * sd / (Decimal(mean.numerator) / Decimal(mean.denominator))),
        "gmi_percent": float(Fraction("3.31") + Fraction("0.02392") * mean),
        "gmi_mmol_mol": float(Fraction("12.71") + Fraction("4.70587") * mean / MOLAR),
        "percentages": [float(s) for s in shares],
        "reconciled_hundredths": reconciled(shares, 100),
        "reconciled_whole": reconciled(shares, 1),
        "days_of_wear": len(worn),
        "days_well_covered": sum(Fraction(on_date.get(day, 0), 86400) >= Fraction(7, 10) for day in worn),
        "covered_minutes": float(Fraction(len(by_second), 60)),
        "elapsed_minutes": float(Fraction(end - start, 60)),
        "sensor_active_percent": float(active),
        "short_of_days": (last - first).days + 1 < 14,
        "short_of_wear": active < 70,
    }
    return expected


def reconciled(shares, per_percent):
    """Largest remainder; of equals, the larger share, then the lower range."""
    units = [(s * per_percent).__floor__() for s in shares]
    while sum(units) < 100 * per_percent:
        lost = [s * per_percent - u for s, u in zip(shares, units)]
        i = max(range(5), key=lambda i: (lost[i], shares[i], -i))
        units[i] += 1
    return units


# ---- the series ----

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
    folder = Path(__file__).parent / "fixtures" / "statistics"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in cases():
        expected = statistics(data)
        parts = [f'"dates": {json.dumps(data["dates"])}', f'"window": {json.dumps(data["window"])}',
                 f'"sensor_starts": {json.dumps(data["sensor_starts"])}', f'"expected": {json.dumps(expected)}',
                 '"readings": [\n' + ",\n".join(json.dumps(line, separators=(",", ":")) for line in compact(data)) + "\n]"]
        (folder / f"{name}.json").write_text("{\n" + ",\n".join(parts) + "\n}\n")
