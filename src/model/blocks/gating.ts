/** Gates of 0 and 1 on units, which are chosen by inputs. */
import { add, isPositive, mul, scale, sigmoid, stopGradient, sub, sumTo } from "../../tensor/ops/elementwise.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Inputs } from "../architecture.ts";

/** 0 or 1 by the sign of z, with the gradient of the sigmoid. */
export function straightThrough(rec: Recorder, z: Tensor): Tensor {
  const p = sigmoid(rec, z);
  return add(rec, isPositive(rec, z), sub(rec, p, stopGradient(rec, p)));
}

/** Mean over the tokens of each row: (B T, C) -> (B, C); each token by itself of a language model. */
export function pooled(rec: Recorder, x: Tensor, inputs: Inputs): Tensor {
  const [rows = 0, width = 0] = x.shape;
  if ("ids" in inputs || rows === inputs.batch) return x;
  const tokens = rows / inputs.batch;
  const whole = rec.reshape(x, [inputs.batch, tokens, width]);
  return rec.reshape(scale(rec, sumTo(rec, whole, [inputs.batch, 1, width]), 1 / tokens), [inputs.batch, width]);
}

/** x (N, units * size) times gates (R, units), where each row of gates is of N / R neighbouring rows. */
export function gatedUnits(rec: Recorder, x: Tensor, gates: Tensor): Tensor {
  const [n = 0, width = 0] = x.shape;
  const [rows = 1, units = 1] = gates.shape;
  const parts = rec.reshape(x, [rows, n / rows, units, width / units]);
  return rec.reshape(mul(rec, parts, rec.reshape(gates, [rows, 1, units, 1])), x.shape);
}
