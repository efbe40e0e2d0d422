/** A document, of which every token counts: {"text": "..."} */

import { textAt } from "../row-fields.ts";
import type { RowFormat } from "../row-format.ts";

export const text: RowFormat = {
  needs: ["text"],
  read: (row, place) => ({ form: "text", text: textAt(row, "text", place) }),
};
