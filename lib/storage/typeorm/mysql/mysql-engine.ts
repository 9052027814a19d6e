export const MysqlEngine: any = class {};
