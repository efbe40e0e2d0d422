/** Methods that change the rows of a head, one per class. */
import { UserError } from "../../errors.ts";

/** Throws UserError where no tensor has the name of the head. */
export function expectHead(tensors: readonly { readonly name: string }[], head: string | undefined): void {
  if (tensors.some(({ name }) => name === head)) return;
  const heads = tensors.map(({ name }) => name).filter((name) => /head|classifier|score|embed/.test(name));
  throw new UserError(
    `The model has no tensor ${head}`,
    heads.length > 0 ? `name its head with --head: ${heads.join(", ")}` : "name its head with --head",
  );
}
