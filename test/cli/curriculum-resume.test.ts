/** Curricula that are killed and resumed. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { DATA, HELD, openLab, RUN } from "./curriculum-lab.ts";

const lab = openLab();

const RUNS = {
  aioli: `--method aioli --round 5 --passes 1 --lp-steps 1 --gamma 0.2 ${DATA} ${HELD}`,
  "skill-it": `--method skill-it --graph graph.json --round 4 --every 2 ${DATA} ${HELD}`,
  coba: `--method coba --every 2 --burn-in 2 --window 3 ${DATA} ${HELD}`,
  mpts: `--method mpts --every 2 --burn-in 1 --fits 3 ${DATA}`,
  "cyclical-live": "--method cyclical-live --data mixed.jsonl",
  "self-paced": "--method self-paced --data mixed.jsonl",
};

const lineOf = (options: string) => `model ${options} ${RUN} --accumulate 2 --steps 12 --save-every 1`;

/** Runs a curriculum to a step, kills it, and resumes it to its end. */
async function killAndResume(name: string, options: string): Promise<void> {
  const log = `${name}-cut.log`;
  const goal = 5 + (name.length % 4);
  for (let attempt = 0; ; attempt++) {
    const child = lab.start(`${lineOf(options)} -o ${name}-cut/ --resume --log ${log}`);
    const reached = () => attempt === 0 && lab.events(log, "step").some(({ step }) => step >= goal);
    while (child.exitCode === null && !reached()) await Bun.sleep(15);
    if (child.exitCode !== null) {
      expect(await new Response(child.stderr).text()).toBe("");
      expect(child.exitCode).toBe(0);
      expect(attempt).toBe(1);
      return;
    }
    child.kill(9);
    await child.exited;
  }
}

describe("a run that was killed continues as if it had not been", () => {
  /** mpts, which trains a network at every round, with INGOT_TEST_LONG=1. */
  const isRun = ([name]: [string, string]) => process.env.INGOT_TEST_LONG === "1" || name !== "mpts";
  test.each(Object.entries(RUNS).filter(isRun))(
    "%s",
    async (name, options) => {
      const whole = lab.succeeds(`${lineOf(options)} -o ${name}-whole/`);
      await killAndResume(name, options);
      await whole;
      expect(readFileSync(lab.at(`${name}-cut/model.safetensors`))).toEqual(
        readFileSync(lab.at(`${name}-whole/model.safetensors`)),
      );
      expect(existsSync(lab.at(`${name}-cut-state`))).toBe(false);
    },
    60_000,
  );

  test("its log, which has some steps twice, replays as well", async () => {
    const options = RUNS["skill-it"];
    const whole = lab.succeeds(`${lineOf(options)} -o whole/`);
    await killAndResume("twice", options);
    await lab.succeeds(
      `model --schedule-from twice-cut.log ${DATA} ${RUN} --accumulate 2 --steps 12 -o replayed.safetensors`,
    );
    await whole;
    expect(await lab.apart("whole", "replayed.safetensors")).toBe(0);
  }, 120_000);

  test("with other data it is refused", async () => {
    const groups = "--data a=a.jsonl --data b=changing.jsonl --data c=c.jsonl";
    lab.write("changing.jsonl", lab.read("b.jsonl"));
    const line = `model --method stratified ${groups} ${RUN} --save-every 2 --state kept`;
    const child = lab.start(`${line} --steps 4000 --log kept.log -o kept.safetensors`);
    while (child.exitCode === null && !lab.events("kept.log", "step").some(({ step }) => step > 4)) await Bun.sleep(15);
    child.kill(9);
    await child.exited;
    lab.write("changing.jsonl", lab.read("b.jsonl") + lab.read("c.jsonl"));
    const { err, code } = await lab.run(`${line} --steps 4000 --resume -o kept.safetensors`);
    expect(err.split("\n")[0]).toBe(
      "curriculum: kept/last was saved with groups a (16, 256), b (16, 256), c (16, 256), this run has a (16, 256), b (32, 512), c (16, 256)",
    );
    expect(code).toBe(2);
  }, 120_000);
});
