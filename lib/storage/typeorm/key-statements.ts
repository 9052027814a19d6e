/** How keys are taken within a transaction of somebody else, which an error would break. */
export interface KeyStatements {
  /** Behind an INSERT that is to do nothing where the row is there. */
  readonly unlessThere: string;
  /** Behind a SELECT that is to see what others have committed since the transaction began. */
  readonly latest: string;
}
