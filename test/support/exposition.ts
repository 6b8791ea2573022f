/**
 * A strict reader of Prometheus's text format 0.0.4: one family after the other, each with HELP, TYPE and at least one sample,
 * no series twice, histograms whose buckets grow. What promtool asks for in names is asked for too.
 */

/** Values by series, as written: `name{label="value"}`. Throws for the first line that is out of order. */
export function parseExposition(text: string): ReadonlyMap<string, number> {
  if (!text.endsWith("\n")) throw new Error("expected a line feed at the end");
  const series = new Map<string, number>();
  const families = new Map<string, string>();
  let family = "";
  let hasSamples = true;
  for (const line of text.slice(0, -1).split("\n")) {
    const help = /^# HELP (?<name>[a-z][a-z0-9_]*) (?<text>[^\\]+)$/.exec(line)?.groups;
    const type = /^# TYPE (?<name>[a-z][a-z0-9_]*) (?<type>counter|gauge|histogram)$/.exec(line)?.groups;
    if (help !== undefined) {
      family = help["name"] ?? "";
      if (!hasSamples) throw new Error(`a family without samples before ${line}`);
      if (families.has(family)) throw new Error(`${family} stands twice`);
      families.set(family, "");
      hasSamples = false;
    } else if (type !== undefined) {
      if (type["name"] !== family || families.get(family) !== "")
        throw new Error(`TYPE without HELP: ${line}`);
      if ((type["type"] === "counter") !== family.endsWith("_total"))
        throw new Error(`_total or not: ${line}`);
      families.set(family, type["type"] ?? "");
    } else {
      const [key, value] = parseSample(line, family, families.get(family) ?? "");
      if (series.has(key)) throw new Error(`a series stands twice: ${line}`);
      series.set(key, value);
      hasSamples = true;
    }
  }
  if (!hasSamples) throw new Error(`a family without samples: ${family}`);
  for (const [name, type] of families) if (type === "histogram") checkHistogram(name, series);
  return series;
}

const LABEL = String.raw`[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"`;
const SAMPLE = new RegExp(
  `^(?<key>(?<name>[a-z][a-z0-9_]*)(?:\\{${LABEL}(?:,${LABEL})*\\})?) (?<value>-?[0-9]+(?:\\.[0-9]+)?(?:e[+-]?[0-9]+)?)$`,
);

function parseSample(line: string, family: string, type: string): [string, number] {
  const { key = "", name = "", value } = SAMPLE.exec(line)?.groups ?? {};
  const suffixes = type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
  if (value === undefined || type === "" || !suffixes.some((suffix) => name === `${family}${suffix}`))
    throw new Error(`no sample of ${family}: ${line}`);
  const labels = [...key.matchAll(/(?<=[{,])([a-z_]+)=/g)].map(([, label]) => label);
  if (new Set(labels).size !== labels.length) throw new Error(`a label stands twice: ${line}`);
  return [key, Number(value)];
}

function checkHistogram(name: string, series: ReadonlyMap<string, number>): void {
  const last = new Map<string, { readonly bound: number; readonly count: number }>();
  for (const [key, count] of series) {
    const { labels = "", le } = /_bucket\{(?<labels>.*),le="(?<le>[^"]+)"\}$/.exec(key)?.groups ?? {};
    if (le === undefined || !key.startsWith(`${name}_bucket`)) continue;
    const bound = le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le);
    const before = last.get(labels) ?? { bound: Number.NEGATIVE_INFINITY, count: 0 };
    if (!(bound > before.bound) || count < before.count) throw new Error(`a bucket that shrinks: ${key}`);
    last.set(labels, { bound, count });
  }
  for (const [labels, { bound, count }] of last) {
    if (bound !== Number.POSITIVE_INFINITY || series.get(`${name}_count{${labels}}`) !== count)
      throw new Error(`the count of ${name}{${labels}} is not that of its last bucket`);
    if (!series.has(`${name}_sum{${labels}}`)) throw new Error(`${name}{${labels}} has no sum`);
  }
}
