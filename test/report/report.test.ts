import { afterAll, describe, expect, test } from "bun:test";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toPng, toSvg } from "../../src/report/figure.ts";
import { formOf } from "../../src/report/form.ts";
import { toHtml } from "../../src/report/page.ts";
import { differences, metricsOf, runsOf, statusOf, thinned } from "../../src/report/read.ts";
import { toSummary } from "../../src/report/summary.ts";
import { toCsv, toMarkdown } from "../../src/report/tables.ts";
import { runScript } from "../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-report-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const lines = (events: readonly unknown[]) => events.map((event) => JSON.stringify(event)).join("\n");
const start = { event: "start", run: "r1", script: "train", options: { lr: 0.1, steps: 3 }, seed: 0, version: "1" };
const step = (n: number, loss: number | null) => ({
  event: "step",
  step: n,
  seconds: n / 10,
  tokens: 100,
  loss,
  lr: 0.1,
});
const done = { event: "end", ok: true, out: "model/" };
const log = lines([
  start,
  step(1, 3),
  step(2, null),
  step(3, 1),
  { event: "eval", step: 3, name: "loss", group: "a", value: 2 },
  done,
]);

describe("a log", () => {
  test("gives its curves, with gaps where a value is no number", () => {
    const [run] = runsOf("x/run.jsonl", log);
    expect(run!.name).toBe("run");
    expect(run!.series.get("loss")).toEqual({
      step: [1, 2, 3],
      seconds: [0.1, 0.2, 0.3],
      tokens: [100, 200, 300],
      value: [3, Number.NaN, 1],
    });
    expect(metricsOf([run!])).toEqual(["loss", "eval loss (a)", "lr"]);
    expect(statusOf(run!)).toBe("ok");
  });

  test("may be cut at its end; other lines that are no JSON are named", () => {
    const [cut] = runsOf("a", `${log}\n{"event":"st`);
    expect(cut!.bad).toEqual([]);
    const [bad] = runsOf("a", `${lines([start])}\nnonsense\n[1]\n${lines([step(1, 2)])}\n`);
    expect(bad!.bad).toEqual([2, 3]);
    expect(statusOf(bad!)).toBe("unfinished");
  });

  test("of a run that was resumed is one run; of two runs it is two", () => {
    const resumed = { ...start, options: { ...start.options, resume: true } };
    expect(runsOf("a.jsonl", lines([start, step(1, 3), resumed, step(2, 2), done]))).toHaveLength(1);
    expect(runsOf("a.jsonl", `${log}\n${log}`).map(({ name }) => name)).toEqual(["a 1", "a 2"]);
  });

  test("whose start line stands behind a piece of a line holds that run too", () => {
    const found = runsOf("a.jsonl", `${lines([start, step(1, 3)])}\n{"event":"st${log}`);
    expect(found.map(({ bad, series }) => [bad, series.get("loss")!.step])).toEqual([
      [[3], [1]],
      [[3], [1, 2, 3]],
    ]);
  });

  test("that is none is refused", () => {
    expect(() => runsOf("a.bin", "\x00\x01")).toThrow("a.bin is no log: it has no start event");
    expect(() => runsOf("a.jsonl", " \n")).toThrow("a.jsonl is empty");
  });
});

describe("a run that was killed and resumed", () => {
  const resumed = { ...start, options: { ...start.options, resume: true } };
  const held = (n: number, value: number, group?: string) => ({
    event: "eval",
    step: n,
    name: "loss",
    ...(group ? { group } : {}),
    value,
  });
  const loss = (events: readonly unknown[]) => runsOf("a.jsonl", lines(events))[0]!.series.get("loss")!;
  const first = [start, step(1, 9), step(2, 8), step(3, 7), held(3, 70), step(4, 6)];

  test("says each step once, by the later word, on every axis", () => {
    const [run, ...others] = runsOf("a.jsonl", lines([...first, resumed, step(3, 5), held(3, 50), step(4, 4), done]));
    expect(others).toEqual([]);
    // The second process took 0.3 and 0.4 seconds of its own, after 0.4 of the first.
    expect(run!.series.get("loss")).toEqual({
      step: [1, 2, 3, 4],
      seconds: [0.1, 0.2, 0.7, 0.8],
      tokens: [100, 200, 300, 400],
      value: [9, 8, 5, 4],
    });
    expect(run!.series.get("eval loss")).toMatchObject({ step: [3], value: [50] });
    expect([run!.step, run!.seconds, statusOf(run!)]).toEqual([4, 0.8, "ok"]);
  });

  test("says it too where its second start line is lost, or it was resumed twice", () => {
    expect(loss([...first, step(2, 5), step(3, 4)])).toMatchObject({ step: [1, 2, 3], seconds: [0.1, 0.6, 0.7] });
    const twice = loss([...first, resumed, step(4, 5), resumed, step(3, 3), step(4, 2)]);
    expect(twice).toMatchObject({ step: [1, 2, 3, 4], value: [9, 8, 3, 2] });
  });

  test("forgets what was measured at steps that were done again", () => {
    const [run] = runsOf("a.jsonl", lines([...first, held(4, 3, "a"), held(4, 4, "b"), resumed, step(3, 5)]));
    expect([...run!.series.keys()]).toEqual(["loss", "lr"]);
    // Every tenth step is logged, every second measured: the first word after the resume is of a measurement.
    const sparse = [start, step(10, 1), held(12, 1, "a"), held(12, 2, "b"), held(14, 3, "a"), step(20, 2)];
    const again = [resumed, held(12, 5, "a"), held(12, 6, "b")];
    const [rare] = runsOf("a.jsonl", lines([...sparse, ...again]));
    expect(rare!.series.get("loss")!.step).toEqual([10]);
    expect(rare!.series.get("eval loss (a)")).toMatchObject({ step: [12], value: [5] });
    expect(rare!.series.get("eval loss (b)")).toMatchObject({ step: [12], value: [6] });
  });

  test("is unfinished again while it goes on, and says its warnings once", () => {
    const stopped = [
      { event: "warning", text: "w" },
      { event: "end", ok: false, error: "interrupted" },
    ];
    const [run] = runsOf("a.jsonl", lines([...first, ...stopped, resumed, stopped[0], step(5, 1)]));
    expect([statusOf(run!), run!.warnings]).toEqual(["unfinished", ["w"]]);
  });

  test("is not the next run of another kind or to another place that may be resumed", () => {
    for (const other of [
      { ...resumed, script: "unlearn" },
      { ...resumed, options: { ...resumed.options, out: "other/" } },
    ])
      expect(runsOf("a.jsonl", lines([...first, other, step(1, 3)]))).toHaveLength(2);
  });
});

test("long curves keep their peaks", () => {
  const value = Array.from({ length: 100_000 }, (_, i) => (i === 54_321 ? 9 : i === 777 ? -9 : Math.sin(i / 5000)));
  const at = value.map((_, i) => i);
  const few = thinned({ step: at, seconds: at, tokens: at, value }, 500);
  expect(few.value.length).toBeLessThanOrEqual(510);
  expect(Math.max(...few.value)).toBe(9);
  expect(Math.min(...few.value)).toBe(-9);
  expect(few.step).toEqual([...few.step].sort((a, b) => a - b));
});

const other = lines([
  { ...start, options: { lr: 0.2, steps: 3, out: "b/" } },
  step(1, 4),
  { event: "result", value: { rows: [{ metric: "loss", value: 0.5 }] } },
]);
const runs = [...runsOf("a.jsonl", log), ...runsOf("b.jsonl", other)];

test("options that differ are told, equal ones and names of results are not", () => {
  expect(differences(runs)).toEqual([{ option: "lr", values: [0.1, 0.2] }]);
});

test("options of one script among several are told where they differ between its runs", () => {
  const of = (script: string, options: Record<string, unknown>) =>
    runsOf(`${script}.jsonl`, lines([{ ...start, script, options }, done]));
  const [train, tune, unlearn] = [
    of("train", { lr: 1, pack: true }),
    of("train", { lr: 1 }),
    of("unlearn", { lr: 2, rho: 3 }),
  ];
  const told = (...given: ReturnType<typeof of>[]) => differences(given.flat()).map(({ option }) => option);
  expect(told(train, unlearn)).toEqual(["lr"]);
  expect(told(train, tune, unlearn)).toEqual(["lr", "pack"]);
});

test("tables for papers and spreadsheets", () => {
  expect(toMarkdown(runs)).toContain("| a | ok | 1 | 2 | 0.1 |\n| b | unfinished | 4 |  | 0.1 |");
  expect(toMarkdown(runs)).toContain("| lr | 0.1 | 0.2 |");
  expect(toMarkdown(runs)).toContain("| loss | 0.5 |");
  const rows = [{ metric: "loss", interval: [1.0946509, 1.2931154] }];
  expect(toMarkdown(runsOf("e.jsonl", lines([start, { event: "result", value: { rows } }])))).toContain(
    "| loss | 1.0947 to 1.2931 |",
  );
  expect(toCsv(runs).split("\n").slice(0, 3)).toEqual([
    "run,metric,step,seconds,tokens,value",
    "a,loss,1,0.1,100,3",
    "a,loss,2,0.2,200,",
  ]);
});

test("text of a log cannot break out of the page", () => {
  const evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>";
  const page = toHtml(
    runsOf(
      `${evil}.jsonl`,
      lines([
        { ...start, script: evil, options: { [evil]: evil } },
        { ...step(1, 2), [evil]: 1 },
        { event: "warning", text: evil },
        { event: "end", ok: false, error: evil },
      ]),
    ),
  );
  expect(page).not.toContain("<script>alert");
  expect(page).not.toContain("<img");
  expect(page.match(/<script>/g)).toHaveLength(2);
});

test("the page asks for nothing", () => {
  expect(toHtml(runs)).not.toMatch(/(src|href)=|url\(|@import|https?:\/\/(?!www\.w3\.org|github\.com)/);
});

test("figures have a panel for every metric", async () => {
  const svg = await toSvg(runs, "tokens");
  expect(svg.match(/<svg/g)).toHaveLength(1 + 3);
  for (const name of ["loss", "eval loss (a)", "lr"]) expect(svg).toContain(name);
  const png = await toPng(svg);
  expect([...png.subarray(1, 4)]).toEqual([...Buffer.from("PNG")]);
});

test("what is written follows the flag, the ending of the file, or --json", () => {
  const none = { svg: false, png: false, csv: false, md: false, json: false, out: "-" };
  expect(formOf(none)).toBe("html");
  expect(formOf({ ...none, json: true })).toBe("json");
  for (const form of ["html", "svg", "png", "csv", "md", "json"] as const)
    expect(formOf({ ...none, out: `a.b/x.${form.toUpperCase()}` })).toBe(form);
  expect(formOf({ ...none, out: "results-0.5" })).toBe("html");
  expect(formOf({ ...none, csv: true, out: "points.txt" })).toBe("csv");
  expect(formOf({ ...none, json: true, out: "page.html" })).toBe("html");
  expect(formOf({ ...none, json: true, out: "summary" })).toBe("json");
  expect(() => formOf({ ...none, svg: true, out: "x.png" })).toThrow(
    "--svg and a file that ends in .png are two results",
  );
  expect(() => formOf({ ...none, csv: true, json: true })).toThrow("--csv and --json are two results");
  expect(() => formOf({ ...none, out: "x.pdf" })).toThrow("report writes no .pdf file, found -o x.pdf");
});

test("the summary has where every run ended, what tells them apart, and their tables", () => {
  const told = JSON.parse(JSON.stringify(toSummary(runs)));
  expect(told.runs[0]).toEqual({
    name: "a",
    file: "a.jsonl",
    run: "r1",
    script: "train",
    status: "ok",
    version: "1",
    seed: 0,
    options: { lr: 0.1, steps: 3 },
    step: 3,
    seconds: 0.3,
    last: { loss: 1, "eval loss (a)": 2, lr: 0.1 },
    tables: [],
    out: "model/",
    warnings: [],
    bad_lines: [],
  });
  expect(told.runs[1]).toMatchObject({ status: "unfinished", tables: [[{ metric: "loss", value: 0.5 }]] });
  expect(told.differences).toEqual([{ option: "lr", values: [0.1, 0.2] }]);
});

describe("the script", () => {
  const at = (name: string) => join(folder, name);
  const report = (...argv: string[]) => runScript("report", argv, folder);
  writeFileSync(at("a.jsonl"), log);
  writeFileSync(at("b.jsonl"), other);

  test("writes pages, figures and tables, and refuses what is no log", async () => {
    writeFileSync(at("no.jsonl"), "hello\n");
    const page = await report("a.jsonl");
    expect(page.text).toStartWith("<!doctype html>");
    const png = await report("a.jsonl", "--png");
    expect([...png.out.subarray(1, 4)]).toEqual([...Buffer.from("PNG")]);
    const none = await report("no.jsonl");
    expect([none.code, none.err]).toEqual([
      2,
      "report: no.jsonl is no log: it has no start event\n  hint: give a log that a script wrote with --log FILE\n",
    ]);
    expect((await report("a.jsonl", "--svg", "--csv")).err).toContain("--svg and --csv are two results");
  });

  test("--json is one object on stdout, also beside a page in a file", async () => {
    const { code, text, err } = await report("a.jsonl", "b.jsonl", "--json");
    expect([code, err]).toEqual([0, ""]);
    const told = JSON.parse(text);
    expect(told.runs.map(({ last }: { last: { loss: number } }) => last.loss)).toEqual([1, 4]);
    const both = await report("a.jsonl", "b.jsonl", "--json", "-o", "both.html");
    expect([both.code, both.err, JSON.parse(both.text)]).toEqual([0, "", told]);
    expect(readFileSync(at("both.html"), "utf8")).toStartWith("<!doctype html>");
    const file = await report("a.jsonl", "b.jsonl", "-o", "both.json");
    expect([file.code, file.text, JSON.parse(readFileSync(at("both.json"), "utf8"))]).toEqual([0, "", told]);
  });

  test("-o figure.png is a PNG; a file that is there is replaced, and nothing else is left", async () => {
    mkdirSync(at("out"));
    writeFileSync(at("out/figure.png"), "old");
    symlinkSync("figure.png", at("out/link.png"));
    expect((await report("a.jsonl", "-o", "out/link.png")).code).toBe(0);
    expect(readFileSync(at("out/figure.png")).subarray(1, 4)).toEqual(Buffer.from("PNG"));
    expect((await report("a.jsonl", "-o", "out/points.csv")).code).toBe(0);
    expect(readFileSync(at("out/points.csv"), "utf8")).toBe(toCsv(runsOf("a.jsonl", log)));
    expect(readdirSync(at("out")).sort()).toEqual(["figure.png", "link.png", "points.csv"]);
    const contradicted = await report("a.jsonl", "--csv", "-o", "out/figure.png");
    expect([contradicted.code, contradicted.err]).toEqual([
      2,
      "report: --csv and a file that ends in .png are two results\n  hint: leave out --csv, or end the file's name in .csv\n",
    ]);
    const lost = await report("a.jsonl", "-o", "nowhere/x.html");
    expect([lost.code, lost.err]).toEqual([
      1,
      "report: --out: nowhere/x.html cannot be written (ENOENT)\n  hint: choose another place\n",
    ]);
  });

  test("a log is not replaced by its report, whatever name it has", async () => {
    writeFileSync(at("kept"), log);
    linkSync(at("kept"), at("hard.html"));
    symlinkSync("kept", at("soft.html"));
    for (const out of ["hard.html", "soft.html", "./kept", folder]) {
      const { code, err } = await report("a.jsonl", "kept", "-o", out);
      expect(code).toBe(2);
      expect(err).toContain(out === folder ? "is a folder" : `--out: ${out} is read by this run, as kept`);
    }
    expect(readFileSync(at("kept"), "utf8")).toBe(log);
    expect((await report("kept", "-o", "a.jsonl")).err).toContain("report writes no .jsonl file");
    expect(readFileSync(at("a.jsonl"), "utf8")).toBe(log);
  });

  test("says of each file which lines it left out", async () => {
    writeFileSync(at("bad.jsonl"), `${log}\nnonsense\n[1]\n${log}\n`);
    writeFileSync(at("one.jsonl"), `${lines([start])}\nnonsense\n${lines([step(1, 2)])}\n{"event":"st`);
    const { code, err } = await report("bad.jsonl", "one.jsonl", "a.jsonl", "--md", "-q");
    expect([code, err]).toEqual([
      0,
      "report: warning: bad.jsonl: 2 lines, the first of them line 7, are no JSON, and left out\n" +
        "report: warning: one.jsonl: line 2 is no JSON, and left out\n",
    ]);
  });

  test("--dry-run writes nothing", async () => {
    const { code, text } = await report("a.jsonl", "b.jsonl", "-o", "plan.png", "-n");
    expect([code, text]).toEqual([0, "would write png to plan.png: runs 2, curves 3\n"]);
    expect(readdirSync(folder)).not.toContain("plan.png");
  });
});
