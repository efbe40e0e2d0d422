/** Runs of the distill script that are killed and resumed. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { TEXT, Workshop } from "./distill-models.ts";

const shop = await Workshop.make();
afterAll(() => shop.close());
const { at, bytesOf, distill, shell, steps } = shop;

describe("a run that was killed goes on as if it had not been", () => {
  const RUNS = {
    taid: "large --student small --method taid",
    mtard: "large other --student small --method mtard --temperature-rate 0.1",
    hidden: "large --student small --method hidden --layers 1:2,last:last --label-weight 0",
    attention: "large --student small --method attention --layers 1:1,last:2 --recompute",
    "on-policy": "large --student small --method jsd --on-policy 0.6 --sample-tokens 5",
    distillm:
      "large --student small --method distillm --slack 0 --buffer 6 --sample-tokens 5 --eval-split 0.2 --eval-every 1",
    minillm: "large --student small --method minillm --reuse 3 --sample-tokens 5",
    online: "large --student small --method bd-kd --online --teacher-out TEACHER",
    self: "--teacher self --student small --method lssd",
    rounds: "large --student small --method comd --gap 0 --rounds 3 --sample-tokens 5",
    messages: "large --student small --method messages",
    perspectives: "large --student small --method mind --assistant-lr 0.1",
    aligned: "other --student small --method dual-head --grad-align",
  };
  /** All with INGOT_TEST_LONG=1; two otherwise. */
  const SHORT = ["taid", "on-policy"];
  const isRun = ([name]: [string, string]) => process.env.INGOT_TEST_LONG === "1" || SHORT.includes(name);
  test.each(Object.entries(RUNS).filter(isRun))(
    "%s",
    async (name, argv) => {
      const line = `${TEXT} --steps 14 --accumulate 2 --lr 0.01 --save-every 1`;
      const whole = await distill(`${argv.replace("TEACHER", `${name}-teacher/`)} ${line} -o ${name}-whole/`);
      expect(whole.err).toBe("");
      if (name === "online") await shell(`cp -r ${name}-teacher ${name}-teacher-whole && rm -r ${name}-teacher`);
      const random = (n: number) => Math.floor(n * Math.abs(Math.sin(name.length * 7.3 + n)));
      let kills = 0;
      for (let attempt = 0; attempt < 6; attempt++) {
        const child = shop.start(
          `${argv.replace("TEACHER", `${name}-teacher/`)} ${line} -o ${name}-cut/ --resume --log ${name}-cut.log`,
        );
        const goal = 2 + attempt * 4 + random(3);
        while (child.exitCode === null && !(attempt < 3 && steps(`${name}-cut.log`).some(({ step }) => step! >= goal)))
          await Bun.sleep(2);
        if (child.exitCode !== null) {
          expect(await new Response(child.stderr).text()).toBe("");
          break;
        }
        child.kill(9);
        await child.exited;
        kills++;
      }
      expect(kills).toBeGreaterThanOrEqual(2);
      expect(bytesOf(`${name}-cut/model.safetensors`)).toEqual(bytesOf(`${name}-whole/model.safetensors`));
      if (name === "online")
        expect(bytesOf(`${name}-teacher/model.safetensors`)).toEqual(
          bytesOf(`${name}-teacher-whole/model.safetensors`),
        );
      expect(existsSync(at(`${name}-cut-state`))).toBe(false);
    },
    120_000,
  );
});
