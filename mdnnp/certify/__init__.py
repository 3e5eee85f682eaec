"""Certificates: are forces and symmetries of a potential right, and is it smooth enough for dynamics?"""
