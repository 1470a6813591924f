-- The replica's tables as the first release left them: never changed. Made of e2e/transcripts/v1/state.tar.gz by `.dump`, and what it lacked.
CREATE TABLE floors (
               kind INTEGER, name TEXT, hard INTEGER NOT NULL, soft INTEGER NOT NULL, removed INTEGER NOT NULL,
               newest INTEGER NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
INSERT INTO "floors" VALUES(0,'title:0',9,0,0,9);
INSERT INTO "floors" VALUES(0,'title:1',10,0,10,10);
INSERT INTO "floors" VALUES(0,'title:2',3,0,0,3);
INSERT INTO "floors" VALUES(0,'title:3',4,0,0,4);
INSERT INTO "floors" VALUES(0,'title:4',5,0,0,5);
INSERT INTO "floors" VALUES(0,'title:5',6,0,0,6);
INSERT INTO "floors" VALUES(0,'title:6',7,0,0,7);
INSERT INTO "floors" VALUES(0,'title:7',8,0,0,8);
INSERT INTO "floors" VALUES(1,'genre:soft',0,11,0,11);
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('position','01M8CE7JJJ5RBQR9ZBFC7CTREQ:11:185b606a317ea888');
INSERT INTO "meta" VALUES('schema','1');
CREATE TABLE tasks (
               kind INTEGER, name TEXT, reads INTEGER NOT NULL, attempts INTEGER NOT NULL, due INTEGER NOT NULL,
               PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE INDEX floors_newest ON floors (newest);
CREATE INDEX tasks_next ON tasks (kind, reads DESC);
INSERT INTO "meta" VALUES('mark','[5,1795713900000]');
INSERT INTO "tasks" VALUES(0,'tv/01M8CE7JJJ5RBQR9ZBFC7CTREQ/title:0@1',0,2,1795713912500);
INSERT INTO "tasks" VALUES(1,'title:3',7,0,0);
