/** A training step (forward, backward, AdamW) of the small Llama over 8 rows of 128 tokens. */
import { rowsOf } from "../small-decoder.ts";
import { trainerOn } from "../small-training.ts";
import { least, type Part } from "./figure.ts";

const [ROWS, LENGTH] = [8, 128];

export const training: Part = async (gpu, { quick }) => {
  const { model, trainer } = await trainerOn(gpu);
  const batch = rowsOf(ROWS, LENGTH);
  let step = 0;
  const seconds = await least(quick ? 3 : 10, async () => (await trainer.step(++step, 1e-3, [batch])).result);
  const { total } = model.parameterCount();
  const tokens = ROWS * LENGTH;
  const name = `training step, ${(total / 1e6).toFixed(1)}M parameters, ${tokens} tokens`;
  return [
    { name, value: tokens / seconds, unit: "tokens/s" },
    { name, value: (6 * total * tokens) / seconds / 1e12, unit: "TFLOP/s" },
  ];
};
