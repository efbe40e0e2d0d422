/** `train --clients`: one client is plain training, bytes are those of messages, and what is refused. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isObject } from "../../../src/json.ts";
import { tensorsOf } from "../../support/checkpoint-values.ts";
import { runScript } from "../../support/command.ts";
import { normals } from "../../support/random.ts";

setDefaultTimeout(120_000); // the machine may be busy

const folder = mkdtempSync(join(tmpdir(), "ingot-among-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

const made = Array.from({ length: 120 }, (_, i) => {
  const label = i % 3;
  const x = [...normals(i, 5)].map((value, j) => Number((value + (j === label ? 3 : 0)).toFixed(3)));
  return { x, label, site: `site ${i % 2}` };
});
const rows = made.slice(0, 60);
const lines = (list: readonly object[]) => list.map((row) => `${JSON.stringify(row)}\n`).join("");
writeFileSync(at("rows.jsonl"), lines(rows));
writeFileSync(at("held.jsonl"), lines(made.slice(60)));
writeFileSync(at("one.jsonl"), lines(rows.slice(0, 20)));
writeFileSync(at("two.jsonl"), lines(rows.slice(20)));
writeFileSync(at("net.json"), JSON.stringify({ model_type: "mlp", input_size: 5, hidden_sizes: [6], num_labels: 3 }));
writeFileSync(
  at("norms.json"),
  JSON.stringify({ model_type: "mlp", input_size: 5, hidden_sizes: [6], num_labels: 3, hidden_norm: "batch" }),
);

async function train(...argv: string[]): Promise<Record<string, unknown>> {
  const given = argv.includes("--init") ? argv : ["--init", "net.json", ...argv];
  const { code, text, err } = await runScript("train", [...given, "--json", "-q"], folder);
  expect(err).toBe("");
  expect(code).toBe(0);
  const told: unknown = JSON.parse(text);
  return isObject(told) ? told : {};
}

async function refused(...argv: string[]): Promise<string> {
  const { code, err } = await runScript(
    "train",
    ["--init", "net.json", "--clients", "2", ...argv, "-o", "no/"],
    folder,
  );
  expect(code).not.toBe(0);
  return err;
}

const events = (log: string, name: string) =>
  readFileSync(at(log), "utf8")
    .trim()
    .split("\n")
    .map((line): Record<string, unknown> => JSON.parse(line))
    .filter(({ event }) => event === name);

const LINE = ["--data", "rows.jsonl", "--steps", "9", "--batch-size", "4", "--lr", "1e-2"];

test("one client is plain training to the bit, in one round and in several", async () => {
  await train(...LINE, "-o", "plain/");
  const plain = await tensorsOf(at("plain/"));
  await train(...LINE, "--clients", "1", "-o", "round/");
  expect(await tensorsOf(at("round/"))).toEqual(plain);
  await train(...LINE, "--clients", "1", "--local-steps", "4", "-o", "rounds/");
  expect(await tensorsOf(at("rounds/"))).toEqual(plain);
  await train(...LINE, "--clients", "1", "--local-steps", "4", "--client-state", "fresh", "-o", "fresh/");
  expect(await tensorsOf(at("fresh/"))).not.toEqual(plain);
});

test("running statistics are shared as weights are", async () => {
  const norms = ["--init", "norms.json", ...LINE];
  await train(...norms, "-o", "norms/");
  await train(...norms, "--clients", "1", "--local-steps", "3", "-o", "norms-among/");
  // A server that goes beyond what clients found leaves their statistics at the mean.
  await train(...norms, "--clients", "2", "--local-steps", "3", "--federation", "diloco", "-o", "norms-two/");
  for (const value of (await tensorsOf(at("norms-two/"))).get("norms.0.running_var")!) expect(value).toBeGreaterThan(0);
  expect(await tensorsOf(at("norms-among/"))).toEqual(await tensorsOf(at("norms/")));
});

test("the same line gives the same weights, and bytes are those of the messages", async () => {
  const line = [
    ...LINE,
    "--clients",
    "3",
    "--local-steps",
    "3",
    "--client-split",
    "dirichlet",
    "--federation",
    "diloco",
  ];
  const told = await train(...line, "--log", "a.jsonl", "--eval-data", "one.jsonl", "-o", "a/");
  await train(...line, "-o", "b/");
  expect(await tensorsOf(at("b/"))).toEqual(await tensorsOf(at("a/")));
  const rounds = events("a.jsonl", "round");
  expect(rounds.map(({ step }) => step)).toEqual([3, 6, 9]);
  const sum = (name: string) => rounds.reduce((all, round) => all + Number(round[name]), 0);
  expect(told).toMatchObject({ clients: 3, rounds: 3, bytes_up: sum("bytes_up"), bytes_down: sum("bytes_down") });
  // 57 weights: the server sends four bytes each, a client one and scales, beside headers and checksums.
  expect(sum("bytes_down") - sum("bytes_up")).toBeGreaterThan(9 * 57);
  expect(events("a.jsonl", "step").length).toBe(27);
  expect(new Set(events("a.jsonl", "step").map(({ client }) => client)).size).toBe(3);
});

test("clients are files, or the values of a key", async () => {
  const files = ["--data", "left=one.jsonl", "--data", "right=two.jsonl", "--steps", "2", "--client-split", "groups"];
  await train(...files, "--clients", "2", "--log", "files.jsonl", "-o", "files/");
  expect(events("files.jsonl", "round")[0]!.clients).toEqual(["left", "right"]);
  const keys = [...LINE, "--client-split", "key", "--client-key", "site"];
  await train(...keys, "--clients", "2", "--log", "keys.jsonl", "-o", "keys/");
  expect(events("keys.jsonl", "round")[0]!.clients).toEqual(["site 0", "site 1"]);
  expect(await refused(...keys.slice(0, -1), "label")).toContain("rows have 3 values of label, and --clients is 2");
  expect(await refused(...keys.slice(0, -1), "place")).toContain("rows.jsonl:1 has no text or number as place");
});

test("a share of the clients takes part in a round", async () => {
  const line = [...LINE, "--clients", "4", "--local-steps", "3", "--client-share", "0.5"];
  await train(...line, "--log", "share.jsonl", "-o", "share/");
  const rounds = events("share.jsonl", "round").map(({ clients }) => clients);
  expect(rounds.every((clients) => Array.isArray(clients) && clients.length === 2)).toBe(true);
  expect(new Set(rounds.map(String)).size).toBeGreaterThan(1);
});

test("what does not go with clients is refused before any work", async () => {
  expect(await refused(...LINE, "--ema", "0.9")).toContain("--ema does not go with --clients");
  expect(await refused(...LINE, "--sample-prompts", "hi")).toContain("--sample-prompts does not go with --clients");
  expect(await refused(...LINE, "--clock", "each")).toContain("--clock each lets them be late");
  expect(await refused(...LINE, "--optimizer", "schedule-free")).toContain("trains other weights than those it gives");
  expect(await refused(...LINE, "--client-split", "groups")).toContain("1 for 2 clients");
  expect(await refused(...LINE, "--client-split", "key")).toContain("give --client-key KEY");
  expect(await refused(...LINE, "--loss-balance", "awl")).toContain("in a way that clients cannot share");
  expect(await refused(...LINE, "--local-least", "3", "--local-steps", "2")).toContain("--local-least 3 is more than");
});

test("late clients of FedFix and AFA, and clients of ADMM that go on unasked, learn", async () => {
  const line = [
    "--data",
    "rows.jsonl",
    "--batch-size",
    "20",
    "--optimizer",
    "sgd",
    "--lr",
    "0.05",
    "--schedule",
    "constant",
  ];
  const late = ["--clients", "2", "--steps", "60", "--local-steps", "3", "--client-times", "1,3"];
  const held = ["--eval-data", "held.jsonl"];
  for (const own of [
    [...late, "--federation", "fedfix", "--clock", "interval"],
    [
      ...late,
      "--federation",
      "afa",
      "--clock",
      "buffer",
      "--clock-buffer",
      "1",
      "--local-least",
      "1",
      "--afa-rate",
      "0.1",
    ],
    [
      "--clients",
      "4",
      "--steps",
      "60",
      "--local-steps",
      "6",
      "--federation",
      "admm",
      "--client-share",
      "0.5",
      "--admm-rho",
      "0.5",
    ],
  ]) {
    const name = own[own.indexOf("--federation") + 1]!;
    const argv = [
      "--init",
      "net.json",
      ...line,
      ...own,
      ...held,
      "--log",
      `${name}.jsonl`,
      "-o",
      `${name}/`,
      "--json",
      "-q",
    ];
    const { code, text } = await runScript("train", argv, folder);
    expect(code).toBe(0);
    const told: unknown = JSON.parse(text);
    // Guessing among three classes costs 1.1; the fresh network's loss is above that.
    expect(isObject(told) && Number(told.held_out_loss)).toBeLessThan(0.75);
  }
  // As far as whole rounds go into the run.
  expect(Math.abs(Number(events("fedfix.jsonl", "round")[0]!["counts.client-1"]) - 0.5)).toBeLessThan(0.05);
  // Two of four are asked, and the others go on once they have heard of the weights.
  expect(events("admm.jsonl", "round").every(({ clients }) => Array.isArray(clients) && clients.length === 2)).toBe(
    true,
  );
  expect(events("admm.jsonl", "step").length).toBeGreaterThan(10 * 6 * 3);
});

test("rows that are all in are ordinary training to the bit, and orders differ", async () => {
  const line = [...LINE, "--clients", "2", "--local-steps", "3"];
  await train(...line, "-o", "ordinary/");
  const ordinary = await tensorsOf(at("ordinary/"));
  await train(...line, "--client-order", "easy", "--pace-begin", "1", "-o", "all-in/");
  expect(await tensorsOf(at("all-in/"))).toEqual(ordinary);
  const found = [];
  for (const order of ["easy", "hard", "random"]) {
    await train(...line, "--client-order", order, "-o", `${order}/`);
    found.push(await tensorsOf(at(`${order}/`)));
  }
  for (const [i, one] of found.entries())
    for (const other of [ordinary, ...found.slice(0, i)]) expect(one).not.toEqual(other);
});

test("FedHyper, FedLEx and clients chosen by loss learn; exploration leaves the weights", async () => {
  const line = [
    "--data",
    "rows.jsonl",
    "--batch-size",
    "20",
    "--optimizer",
    "sgd",
    "--lr",
    "0.02",
    "--schedule",
    "constant",
  ];
  const clients = ["--clients", "3", "--local-steps", "4", "--eval-data", "held.jsonl", "--eval-every", "4"];
  const loss = async (name: string, ...own: string[]) => {
    await train(...line, ...clients, "--steps", "40", ...own, "--log", `${name}.jsonl`, "-o", `${name}/`);
    return events(`${name}.jsonl`, "eval").map(({ value }) => Number(value));
  };
  const plain = await loss("slow");
  const hyper = await loss("hyper", "--federation", "fedhyper", "--hyper-rates", "global");
  // A rate that is too small: the same loss comes in fewer rounds.
  const until = (losses: readonly number[]) => losses.findIndex((loss) => loss < 0.45);
  expect(until(hyper)).toBeGreaterThan(0);
  expect(until(hyper)).toBeLessThan(until(plain));
  const lex = await loss("lex", "--federation", "fedlex");
  expect(lex[1]!).toBeLessThan(lex[0]!);
  expect(events("lex.jsonl", "round").length).toBe(10);
  const chosen = await loss(
    "chosen",
    "--client-share",
    "0.4",
    "--client-choice",
    "loss",
    "--client-split",
    "dirichlet",
  );
  expect(chosen.at(-1)!).toBeLessThan(chosen[0]!);
  expect(await refused(...LINE, "--federation", "fedhyper", "--hyper-rates", "all")).toContain(
    "--hyper-rates all: the rates are global",
  );
});
