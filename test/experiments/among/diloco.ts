import { join } from "node:path";
import { isObject } from "../../../src/json.ts";
import { runScript } from "../../support/command.ts";
import { decoder, inLab, Language } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "Four clients by DiLoCo, and one worker on as many rows",
  about: `800 rows of a language of 16 symbols. A decoder of one layer, AdamW at 1e-2. *One worker* takes 160 steps of 32 rows. Four clients with 200
rows each take 160 steps of 8 rows: in 8 rounds of 20 steps by \`diloco\`, whose changes travel in eight bits or in f32, and by \`fedavg\`; or in 160
rounds of one step by \`fedavg\`. Held-out loss above the least possible, and bytes that a client sends in all.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "one worker": {},
    "diloco, int8 − one worker": { below: 0.3 },
    "diloco, f32 − one worker": { below: 0.3 },
    "diloco, int8 − diloco, f32": { below: 0.05 },
    "fedavg, 8 rounds − one worker": {},
    "fedavg, 160 rounds − one worker": {},
    "kB of a client, diloco in int8": {},
    "kB of a client, diloco in f32": {},
    "kB of a client, fedavg in 160 rounds": {},
    "bytes, fedavg in 160 rounds over diloco in int8": { above: 50 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const other = 1000 * (seed - 1);
      const language = new Language({ seed: other + 21, size: 16, sharpness: 6 });
      const held = language.rows(96, other + 209);
      const fresh = lab.fresh(decoder({ vocab_size: 16, initializer_range: 0.05 }));
      const data = lab.groups({ all: language.rows(800, other + 201) }, { all: held });
      let runs = 0;
      const run = async (own: string) => {
        const line = `${fresh} ${data} --lr 0.01 --warmup 10 --steps 160 --seed ${seed} ${own} --save-every 0 -q --json`;
        const { code, text, err } = await runScript(
          "train",
          [...line.split(" "), "-o", join(lab.folder, `run-${runs++}/`)],
          lab.folder,
        );
        if (code !== 0) throw new Error(err);
        const told: unknown = JSON.parse(text);
        if (!isObject(told)) throw new Error(text);
        return { loss: Number(told.held_out_loss) - language.least(held), sent: Number(told.bytes_up ?? 0) / 4000 };
      };
      const clients = "--batch-size 8 --clients 4";
      const one = await run("--batch-size 32");
      const small = await run(`${clients} --federation diloco --local-steps 20`);
      const whole = await run(`${clients} --federation diloco --local-steps 20 --message-dtype f32`);
      const rounds = await run(`${clients} --local-steps 20`);
      const every = await run(`${clients} --local-steps 1`);
      return {
        "one worker": one.loss,
        "diloco, int8 − one worker": small.loss - one.loss,
        "diloco, f32 − one worker": whole.loss - one.loss,
        "diloco, int8 − diloco, f32": small.loss - whole.loss,
        "fedavg, 8 rounds − one worker": rounds.loss - one.loss,
        "fedavg, 160 rounds − one worker": every.loss - one.loss,
        "kB of a client, diloco in int8": small.sent,
        "kB of a client, diloco in f32": whole.sent,
        "kB of a client, fedavg in 160 rounds": every.sent,
        "bytes, fedavg in 160 rounds over diloco in int8": every.sent / small.sent,
      };
    }),
});
