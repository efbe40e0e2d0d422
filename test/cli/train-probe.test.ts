/** `train --probe`: what it tells the log and the report, and that training does not hear of it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { GOLDEN_OPTIONS, trainLab } from "./train-lab.ts";

setDefaultTimeout(120_000);
const { at, run } = trainLab();
const argv = ["llama-tied", "--data", "llama-tied-first.jsonl", ...GOLDEN_OPTIONS, "--save-every", "0", "-q"];
const PROBES = "norms,effective-rank,activations,logits,curvature,kernel-alignment";
const QUICK = "--probe-every 2 --curvature-iterations 2 --kernel-alignment-columns 2".split(" ");

const events = (log: string, name: string) =>
  readFileSync(at(log), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === name);

test("weights are the same bytes with and without, and the log and the report have what was seen", async () => {
  const told = await run("train", [...argv, "--probe", PROBES, ...QUICK, "--log", "told.log", "-o", "told/"]);
  expect([told.code, told.err]).toEqual([0, ""]);
  expect((await run("train", [...argv, "-o", "plain/"])).code).toBe(0);
  const bytes = (folder: string) => readFileSync(at(`${folder}/model.safetensors`));
  expect(bytes("told").equals(bytes("plain"))).toBe(true);
  const seen = events("told.log", "probe");
  expect(seen.map(({ step, probe }) => `${step} ${probe}`)).toEqual(
    [0, 2].flatMap((step) => PROBES.split(",").map((probe) => `${step} ${probe}`)),
  );
  const [before, after] = [0, 2].map((step) => seen.find((one) => one.step === step && one.probe === "norms"));
  expect(before).not.toContainKey("update");
  expect(after.update).toBeGreaterThan(0);
  expect(after.parts.map(({ part }: { part: string }) => part)).toContain("model.layers.0");
  const report = await run("report", ["told.log", "--csv"]);
  for (const curve of ["norms grad_rms", "logits max_attn_logit", "curvature eigenvalue", "kernel-alignment movement"])
    expect(report.text).toContain(curve);
});

test("without a log there is nobody to tell, and a probe is named once", async () => {
  const refused = async (...more: string[]) => (await run("train", [...argv, ...more, "-o", "x/"])).err;
  expect(await refused("--probe", "norms")).toContain("--probe tells the log, and there is none");
  expect(await refused("--probe", "norms,norms", "--log", "x.log")).toContain("--probe names norms twice");
  expect(await refused("--probe", "neural-collapse", "--log", "x.log")).toContain(
    "--probe neural-collapse looks at the classes of a classifier, and llama is a causal-lm",
  );
});
