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
import { runsOf } from "../../src/report/read.ts";
import { toCsv } from "../../src/report/tables.ts";
import { runScript } from "../support/command.ts";
import { lines, log, other, start, step } from "./logs.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-report-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

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
      "report: no.jsonl is not a log: it has no start event\n  hint: give a log that a script wrote with --log FILE, what evaluate or sample wrote as JSON, a sweep or a checkpoint\n",
    ]);
    expect((await report("a.jsonl", "--svg", "--csv")).err).toContain("--svg and --csv are two results");
  });

  test("what evaluate wrote becomes the same CSV, Markdown and LaTeX as its own", async () => {
    const rows = ["a/", "b_1/"].flatMap((model, m) => [
      { model, group: "all", metric: "loss", value: 2 - m, better: "lower", interval: [0, 3], rows: 8 },
      { model, group: "all", metric: "f1", value: m === 0 ? null : 0.5, better: "higher", rows: 8 },
    ]);
    writeFileSync(at("e.json"), JSON.stringify({ loss: 2, rows }));
    writeFileSync(at("e2.jsonl"), lines(rows));
    for (const file of ["e.json", "e2.jsonl"]) {
      const csv = await report(file, "--csv");
      expect(csv.text.split("\r\n")[1]).toBe("a/,,,false,all,loss,lower,2,0,3,,,,8");
      expect(csv.text.split("\r\n")[2]).toBe("a/,,,false,all,f1,higher,,,,,,,8");
      const markdown = await report(file, "--md");
      expect(markdown.text).toStartWith(
        "| model | loss | f1 |\n|---|---:|---:|\n| *all, n 8* |  |  |\n| a | 2.0000 | - |\n",
      );
      expect(markdown.text).toContain("| b_1 | **1.0000** | 0.5000 |");
      expect(markdown.err).toContain("the table leaves out 95 % intervals; a file that ends in .csv has them");
      expect((await report(file, "-o", "t.tex", "-q")).code).toBe(0);
      const latex = readFileSync(at("t.tex"), "utf8");
      expect(latex).toContain("\nb\\_1 & \\textbf{1.0000} & 0.5000 \\\\\n");
      expect(latex.split("\\begin{tabular}").length).toBe(2);
    }
    expect((await report("e.json")).text).toContain("<h2>Evaluations</h2>");
    const both = await report("e.json", "a.jsonl", "--tex", "-q");
    expect(both.text.split("\\end{tabular}").length).toBe(3);
    expect(both.text).toContain("\\textit{e}");
    writeFileSync(at("odd.json"), JSON.stringify({ rows: [{ name: "x" }] }));
    expect((await report("odd.json")).err).toContain("odd.json is not a log");
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
      "report: warning: bad.jsonl: 2 lines, the first of them line 7, are not JSON and left out\n" +
        "report: warning: one.jsonl: line 2 is not JSON and left out\n",
    ]);
  });

  test("--dry-run writes nothing", async () => {
    const { code, text } = await report("a.jsonl", "b.jsonl", "-o", "plan.png", "-n");
    expect([code, text]).toEqual([0, "would write png to plan.png: runs 2, curves 3\n"]);
    expect(readdirSync(folder)).not.toContain("plan.png");
  });
});
