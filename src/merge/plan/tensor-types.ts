/** In which type a tensor of the result is written, and to which its inputs are rounded. */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { isFloat } from "../../checkpoint/dtype.ts";
import type { Recipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import { isBuffer } from "../../model/names.ts";
import type { ValuedTask } from "../job/task.ts";

/** `stored`: the input that decides where the recipe does not. Integers and constants keep their type. */
export function tensorTypes(
  name: string,
  stored: TensorEntry,
  recipe: Recipe,
): Pick<ValuedTask, "outDtype" | "workDtype"> {
  const work = recipe.dtype ?? stored.dtype;
  const fixed = !isFloat(stored.dtype) || isBuffer(name, stored.shape);
  return {
    outDtype: fixed ? stored.dtype : (recipe.outDtype ?? work),
    workDtype: work === "F16" || work === "BF16" ? work : "F32",
  };
}
