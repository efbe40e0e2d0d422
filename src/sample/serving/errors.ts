/** What a server answers to a request that it cannot or will not do, in the form that clients of OpenAI's API read. */

interface Told {
  /** `invalid_request_error` when left out. */
  readonly type?: string;
  /** The field of the request that is wrong. */
  readonly param?: string | undefined;
  readonly code?: string;
}

/** A request that ends with this HTTP status. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly #told: Told;

  constructor(status: number, message: string, told: Told = {}) {
    super(message);
    this.status = status;
    this.#told = told;
  }

  get body(): object {
    const { type = "invalid_request_error", param = null, code = null } = this.#told;
    return { error: { message: this.message, type, param, code } };
  }
}

/** Says that a field of the request is wrong. */
export const wrongField = (param: string, message: string): ApiError => new ApiError(400, message, { param });
