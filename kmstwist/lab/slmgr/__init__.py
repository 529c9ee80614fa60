"""slmgr on lab machines: every option of Windows' slmgr.vbs, for practice."""
