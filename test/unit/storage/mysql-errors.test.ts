import { describe, expect, it } from 'vitest';
import { isMysqlAway } from '../../../lib/storage/typeorm/mysql/mysql-errors.js';

const said = (errno: number, message: string): Error => Object.assign(new Error(message), { errno, sqlState: 'HY000' });

describe('an error of MySQL or MariaDB', () => {
  it.each([
    [1114, "The table 'jobs' is full"],
    [1021, 'Disk got full writing \'.(temporary)\' (Errcode: 28 "No space left on device")'],
    [3, 'Error writing file \'./a/jobs.frm\' (Errcode: 28 "No space left on device")'],
    [1005, 'Can\'t create table `a`.`jobs` (errno: 135 "No more room in record file")'],
    [1026, "Error writing file './a/jobs' (OS errno 28 - No space left on device)"],
    [1030, "Got error 28 - 'No space left on device' from storage engine"],
  ])('%i, that tells of a full disk, passes by itself: %s', (errno, message) => {
    expect(isMysqlAway(said(errno, message))).toBe(true);
  });

  it.each([
    [1005, 'Can\'t create table `a`.`jobs` (errno: 150 "Foreign key constraint is incorrectly formed")'],
    [1030, 'Got error 168 "Unknown (generic) error from engine" from storage engine'],
    [3, 'Error writing file \'./a/jobs.frm\' (Errcode: 13 "Permission denied")'],
  ])('%i with another reason does not: %s', (errno, message) => {
    expect(isMysqlAway(said(errno, message))).toBe(false);
  });
});
