DELETE FROM floors; DELETE FROM tasks; DELETE FROM meta WHERE name = 'mark';
